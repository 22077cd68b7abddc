"""One run of a sweep: what it is, where it lies, whether it is done, and how to do it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.results.spec import RunSpec
    from bench.runner.config import RunConfig
    from bench.sweep.suite import Verb


@dataclass(frozen=True)
class Job:
    """A run of one model on one task.

    Attributes:
        verb: ``run`` or ``frozen``.
        request: With one seed and one control fold.
        spec: What it resolves to.
        key: Jobs with one key share a checkpoint and are never done at once.
    """

    verb: Verb
    request: RunConfig
    spec: RunSpec
    key: str

    @property
    def task(self) -> str:
        """Data set, split, seed and fold in words."""
        spec = self.spec
        fold = f" fold {spec.control_fold}" if spec.control_fold else ""
        return f"{spec.dataset} | {spec.split} | seed {spec.split_seed}{fold}"

    @property
    def row(self) -> str:
        """The row that it is part of."""
        return f"{self.spec.label} (frozen)" if self.verb == "frozen" else self.spec.label

    @property
    def log(self) -> Path:
        """Where what it prints is kept."""
        return self.request.out / self.spec.run_id / f"{self.verb}.log"

    def finished(self) -> Path | None:
        """The path of its record under the leaderboards folder, put there if it is not; ``None`` if not finished."""
        from bench.runner import pipeline
        from bench.tracks.representation import run as frozen

        if self.verb == "frozen":
            return frozen.finished(self.spec, self.request.out, self.request.leaderboards)
        return pipeline.finished_run(self.request, self.spec)


def to_json(job: Job) -> dict[str, Any]:
    """What a worker needs to do a job."""
    request = {field.name: getattr(job.request, field.name) for field in fields(job.request)}
    plain: dict[str, Any] = {name: str(v) if isinstance(v, Path) else v for name, v in request.items()}
    plain |= {"arguments": dict(job.request.arguments), "variant": dict(job.request.variant)}
    return {"verb": job.verb, "request": plain, "log": str(job.log), "command": command(job)}


def execute(content: Mapping[str, Any]) -> None:
    """Do a job that :func:`to_json` wrote."""
    from bench.runner import pipeline
    from bench.runner.config import RunConfig
    from bench.runner.encoder import encoder_of
    from bench.tracks.representation.run import run_encoder

    paths = {name: Path(content["request"][name]) for name in ("out", "leaderboards")}
    request = RunConfig(**{**content["request"], **paths})
    if content["verb"] == "run":
        pipeline.run(request)
        return
    seeds = request.seeds[0]
    task, embed, spec = encoder_of(request, seeds)
    run_encoder(task, embed, spec, request.out, request.leaderboards, request.force)


def command(job: Job) -> str:
    """The command line that does the same by hand."""
    request, spec = job.request, job.spec
    words = ["bench", job.verb, "--model", request.name, "--data", request.data, "--split", spec.split]
    words += ["--seed", str(spec.split_seed), "--tracking", request.tracking]
    words += ["--control-fold", str(spec.control_fold)] if job.verb == "run" else []
    words += ["--out", str(request.out), "--leaderboards", str(request.leaderboards)]
    return shlex.join([*words, *(f"--{name}={value}" for name, value in request.variant.items())])
