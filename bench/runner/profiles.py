"""Rows of profiles of wells: composed of what is asked for, resolved against the data, evaluated.

``bench profiles`` and the suites call these functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.core.console import note
from bench.core.errors import BenchError, unknown
from bench.core.track import Track
from bench.data.profiles.load import Asked, load_wells, name_of
from bench.data.profiles.wells import Wells
from bench.results import embeddings, records, spec, store
from bench.results.finished import finished as finished_record
from bench.results.profiles import Profiles
from bench.results.spec import RunSpec
from bench.runner.config import ProfilesConfig, make_config, make_model
from bench.runner.model_choice import choose
from bench.tracks import registry

#: What stands beside encoders: nothing, chance, the features, and the untrained network.
BARS = ("constant_encoder", "noise_encoder", "random_encoder", "identity", "pca_encoder")
#: Names of :attr:`bench.runner.config.ProfilesConfig.given` beside the track's own options: what of the data is read,
#: and which of its questions are asked.
READ, ASKED = ("features", "embeddings", "batch", "nan"), ("task", "cell_type", "time")


@dataclass(frozen=True)
class Meant:
    """What was given, understood.

    Attributes:
        asked: What of the data is read.
        options: The track's own.
        tasks: Which tasks.
        cells: Which cell lines; empty = all.
        times: Which time points; empty = all.
    """

    asked: Asked
    options: Any
    tasks: tuple[str, ...]
    cells: tuple[str, ...]
    times: tuple[str, ...]


def words(value: Any) -> tuple[str, ...]:
    """A list in words, parted by commas."""
    return tuple(word.strip() for word in str(value).split(",") if word.strip())


def known(track: Track) -> tuple[str, ...]:
    """Names of what may be given."""
    return (*READ, *ASKED, *registry.evaluation(track).GIVEN)


def meant(track: Track, given: Mapping[str, Any]) -> Meant:
    """Understand what was given.

    Raises:
        BenchError: A name, or a value, that there is not.
    """
    evaluation = registry.evaluation(track)
    for name in given:
        if name not in known(track):
            raise unknown("option", name, known(track))
    features, nan = str(given.get("features", "profile")), str(given.get("nan", "error"))
    for what, value, kinds in (
        ("kind of features", features, ("profile", "embedding")),
        ("way with NaN", nan, ("error", "drop")),
    ):
        if value not in kinds:
            raise unknown(what, value, kinds)
    options = evaluation.options_of({n: v for n, v in given.items() if n not in (*READ, *ASKED)}, features)
    tasks = words(given["task"]) if "task" in given else evaluation.TASKS
    for name in tasks:
        if name not in evaluation.TASKS:
            raise unknown("task", name, evaluation.TASKS)
    asked = Asked(
        features=features,
        embeddings=Path(str(given["embeddings"])) if "embeddings" in given else None,
        batches=words(given.get("batch", "")),
        universe=str(given.get("universe", "all")),
        universe_by=options.universe_by,
        nan=nan,
    )
    return Meant(asked, options, tuple(tasks), words(given.get("cell_type", "")), words(given.get("time", "")))


def rows(
    track: Track,
    data: str,
    given: Mapping[str, Any],
    encoders: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    with_bars: bool = False,
    name: str = "",
    *,
    out: Path,
    leaderboards: Path,
    force: bool = False,
) -> list[ProfilesConfig]:
    """The rows that are asked for, each by one seed; no data are read.

    Args:
        track: The track.
        data: Name, card, or table of wells.
        given: See :attr:`bench.runner.config.ProfilesConfig.given`.
        encoders: Their arguments by name; without any, the row is of the features themselves.
        seeds: Of their pretraining.
        with_bars: Whether the features and :data:`BARS` stand beside them.
        name: Name of the rows; empty = the encoders', or what the profiles are.
        out: Folder of the runs.
        leaderboards: Folder that gets the records.
        force: Whether what is finished is repeated.

    Raises:
        BenchError: What :func:`meant` refuses; a model that has no encoder or needs labels, or an argument of it.
    """
    meant(track, given)
    places: dict[str, Any] = {"out": out, "leaderboards": leaderboards, "force": force}
    one: dict[str, Any] = {"data": data, "given": dict(given), **places}
    found = []
    if not encoders or with_bars:
        found.append(ProfilesConfig(**one, row="" if encoders else name))
    bars: dict[str, Mapping[str, Any]] = {bar: {} for bar in BARS if with_bars and bar not in encoders}
    for encoder, arguments in (bars | dict(encoders)).items():
        label = {"label": name} if name and encoder in encoders else {}
        from bench.runner.wells import made_by

        config = make_config(choose(encoder), arguments, data=data, **places, **label)
        made_by(config)
        make_model(config)  # so that it can refuse its arguments
        for seed in seeds:
            found.append(ProfilesConfig(**one, encoder=config.model_copy(update={"seeds": ((1, seed, seed),)})))
    return found


def data_name(config: ProfilesConfig) -> str:
    """What a record calls the data of a row; they are not read."""
    return name_of(config.data, words(config.given.get("batch", "")))


def read(config: ProfilesConfig, track: Track) -> Wells:
    """Read the wells of a row."""
    return load_wells(config.data, meant(track, config.given).asked)


def label(track: Track, config: ProfilesConfig) -> str:
    """The row's name with what differs from the defaults, as :attr:`bench.results.spec.RunSpec.label` has it."""
    options = meant(track, config.given).options
    return spec.label(config.name, registry.evaluation(track).variant_of(_profiles(config), options))


def specs(track: Track, config: ProfilesConfig, wells: Wells) -> list[RunSpec]:
    """What a row resolves to: a record for each question that the data are asked.

    Raises:
        BenchError: They are asked nothing.
    """
    evaluation, asked = registry.evaluation(track), meant(track, config.given)
    made = _profiles(config)
    return [evaluation.spec_of(wells, one, made, asked.options) for one in questions(track, config, wells)]


def questions(track: Track, config: ProfilesConfig, wells: Wells) -> list[Any]:
    """What the data are asked.

    Raises:
        BenchError: Nothing.
    """
    asked = meant(track, config.given)
    found: list[Any] = registry.evaluation(track).questions(wells, asked.tasks, asked.cells, asked.times)
    if not found:
        groups = ", ".join(map(str, wells.groups)) or "none"
        raise BenchError(
            f"{config.data}: nothing is asked for of the groups {groups}; check --task, --cell-type, --time."
        )
    return found


def run(track: Track, config: ProfilesConfig, wells: Wells | None = None) -> list[Path]:
    """Make a row's records, unless all are finished; return their paths, in the order of the questions.

    Args:
        track: The track.
        config: The row.
        wells: What :func:`read` gives, where it is in memory already.

    Raises:
        BenchError: Bad input of any kind.
    """
    if wells is None:
        wells = read(config, track)
        for line in wells.notes:
            note(line)
    config = config.model_copy(update={"source": wells.source})
    done = [] if config.force else [finished(track, config, one) for one in specs(track, config, wells)]
    if (paths := [path for path in done if path]) and len(paths) == len(done):
        note(f"{label(track, config)} is finished already (--force repeats it)")
        return paths
    evaluation, options = registry.evaluation(track), meant(track, config.given).options
    asked, made = questions(track, config, wells), _profiles(config)
    if config.encoder:
        from bench.runner.wells import encode  # torch and lightning take longer to load than features to be matched

        wells, made = encode(wells, config.encoder, made, evaluation.fitted_on(wells, options))
    found: list[Path] = evaluation.run_profiles(wells, made, options, asked, config.out, config.leaderboards)
    return found


def run_all(track: Track, configs: Sequence[ProfilesConfig], wells: Wells | None = None) -> tuple[Wells, list[Path]]:
    """Make the records of several rows of the same wells; return these, read once, and the records' paths.

    Args:
        track: The track.
        configs: The rows, from :func:`rows`.
        wells: What :func:`read` gives, where it is in memory already.

    Raises:
        BenchError: Bad input of any kind.
    """
    found = read(configs[0], track) if wells is None else wells
    for line in found.notes:
        note(line)
    paths = [path for config in configs for path in run(track, config, found)]
    made = [records.read(path) for path in paths]
    # Once for all rows of which it is true; why a row has no result is said where it is made.
    said = ((record, line) for record in made for line in record.warnings if line not in found.notes)
    lines = (f"{one.spec.split}: {line}" for one, line in said if not (one.status and line.startswith(one.status)))
    for line in dict.fromkeys(lines):
        note(line)
    return found, paths


def finished(track: Track, config: ProfilesConfig, run: RunSpec) -> Path | None:
    """Look for a record of a row; where it is whole, put it under the leaderboards folder and return its path."""
    path = config.out / run.run_id / f"{track.file}.json"
    record = finished_record(track, path, run, _profiles(config).inputs)
    if record is None:
        return None
    taken = embeddings.carried(record, [config.out], config.leaderboards)
    store.add(config.leaderboards, track, [(taken, records.read_table(track, path, record))])
    return path


def _profiles(config: ProfilesConfig) -> Profiles:
    """Who makes a row's profiles, as far as it is known before."""
    made = Profiles(name=config.name)
    if config.encoder:
        from bench.runner.wells import made_by

        made = made_by(config.encoder)
    if not config.source:
        return made
    return replace(made, inputs={**made.inputs, "embedding" if config.encoder else "profiles": config.source})
