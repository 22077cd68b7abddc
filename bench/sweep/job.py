"""One run of a sweep: what it is, where it lies, whether it is done, and how to do it."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from bench.core.track import Track
from bench.runner import by_track
from bench.runner.config import AnyConfig, LatentsConfig, ProfilesConfig
from bench.runner.model_choice import load_class
from bench.tracks import registry

if TYPE_CHECKING:
    from bench.results.spec import RunSpec


@dataclass(frozen=True)
class Job:
    """A run of one model on one task, or a question that profiles are asked.

    Attributes:
        verb: Of ``bench``, as :attr:`bench.core.track.Track.verb`.
        config: With one seed and one control fold.
        spec: What it resolves to.
        key: Jobs with one key share a checkpoint and are never done at once. Questions of one row have one key, and
            the first that is done does them all.
    """

    verb: str
    config: AnyConfig
    spec: RunSpec
    key: str

    @property
    def track(self) -> Track:
        """The track that it makes a record of."""
        return registry.by_verb(self.verb)

    @property
    def task(self) -> str:
        """Data set, split, seed and fold in words."""
        spec = self.spec
        fold = f" fold {spec.control_fold}" if spec.control_fold else ""
        return f"{spec.dataset} | {spec.split} | seed {spec.split_seed}{fold}"

    @property
    def row(self) -> str:
        """The row that it is part of."""
        return f"{self.spec.label} ({self.verb})" if self.track.suffix else self.spec.label

    @property
    def log(self) -> Path:
        """Where what it prints is kept."""
        return self.config.out / self.spec.run_id / f"{self.verb}.log"

    def finished(self) -> Path | None:
        """The path of its record under the leaderboards folder, put there if it is not; ``None`` if not finished."""
        return by_track.finished(self.track, self.config, self.spec)


class Work(BaseModel):
    """What a worker is sent, as JSON: a resolved configuration, and where what it prints is kept.

    Attributes:
        verb: Of ``bench``, as :attr:`bench.core.track.Track.verb`.
        config: With one seed and one control fold.
        log: File that gets all that is printed.
        command: The command line that does the same, for the log.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verb: str
    config: AnyConfig
    log: Path
    command: str

    def do(self) -> None:
        """Do it."""
        by_track.run(registry.by_verb(self.verb), self.config)


def work_of(job: Job) -> Work:
    """What a worker needs to do a job."""
    return Work(verb=job.verb, config=job.config, log=job.log, command=command(job))


def command(job: Job) -> str:
    """The command line that does the same by hand."""
    config, spec = job.config, job.spec
    places = ["--out", str(config.out), "--leaderboards", str(config.leaderboards)]
    if isinstance(config, ProfilesConfig):
        return shlex.join(["bench", job.verb, *_flags(config), *places])
    if isinstance(config, LatentsConfig):
        return shlex.join(["bench", job.verb, *_latents_flags(config), *places])
    by_name = {name: config.arguments[name] for name in load_class(config.model).named_by}
    model = ["--model", config.model, "--name", config.name] if by_name else ["--model", config.label or config.model]
    words = ["bench", job.verb, *model, "--data", config.data, "--split", spec.split]
    words += ["--seed", str(spec.split_seed)]
    if job.track.takes == "predictions":
        words += ["--tracking", config.tracking]
    if job.track.takes != "encoder":
        words += ["--control-fold", str(spec.control_fold)]
    return shlex.join([*words, *places, *(f"--{name}={value}" for name, value in (by_name | config.variant).items())])


def _latents_flags(config: LatentsConfig) -> list[str]:
    """One row on one screen as the command line has it."""
    given = {
        **{"model": config.row, "data": config.data, "data-seed": config.data_seed, "seed": config.seed},
        **asdict(config.effort),
    }
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    # Nothing beside the row: it is compared with itself.
    return [*words, "--no-references", "--against", config.row]


def _flags(config: ProfilesConfig) -> list[str]:
    """A row of profiles as the command line has it."""
    words = ["--data", config.data, *(f"--{name.replace('_', '-')}={value}" for name, value in config.given.items())]
    if (encoder := config.encoder) is None:
        return words
    words += ["--encoder", encoder.label or encoder.model, "--seed", str(encoder.seeds[0][1])]
    return [*words, *(f"--{name}={value}" for name, value in encoder.variant.items())]
