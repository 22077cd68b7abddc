"""What is done for a track, by what it takes: predictions, candidates, a frozen encoder, profiles, or latents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.given_files import recorded
from bench.core.track import Track
from bench.data.task import Task
from bench.results import spec as run_spec
from bench.results.spec import RunSpec
from bench.runner.config import AnyConfig, LatentsConfig, ProfilesConfig
from bench.runner.model_choice import load_class


def check_folds(track: Track, folds: Sequence[int]) -> None:
    """Refuse a control fold that is not on the track's boards.

    Raises:
        BenchError: Naming those that are.
    """
    if set(folds) - set(track.folds):
        known = " and ".join(map(str, track.folds))
        raise BenchError(
            f"bench {track.verb} evaluates on control fold {known} only, as its boards do; leave out --control-fold."
        )


def run(track: Track, config: AnyConfig, task: Task | None = None) -> list[Path]:
    """Do what a configuration says, for a track; return the records' paths, each in its run's folder.

    Args:
        track: The track.
        config: What to run.
        task: A task that is in memory already, instead of the data and split that the configuration names.

    Raises:
        BenchError: Bad input of any kind.
    """
    check_folds(track, config.folds)
    if isinstance(config, ProfilesConfig):
        from bench.runner import profiles

        return profiles.run(track, config)
    if isinstance(config, LatentsConfig):
        from bench.runner import identify

        return identify.run(track, config)
    if track.takes == "predictions":
        from bench.runner import pipeline

        return pipeline.run(track, config, task)
    if track.takes == "candidates":
        from bench.runner import candidates

        return candidates.run(track, config, task)
    if track.takes == "encoder":
        from bench.runner import encoder

        return encoder.run(track, config, task)
    raise BenchError(f"rows of bench {track.verb} are made by that verb and by suites, and no other verb runs them.")


def finished(track: Track, config: AnyConfig, spec: RunSpec) -> Path | None:
    """Look for the record of a run; where it is whole, put it under the leaderboards folder and return its path."""
    if isinstance(config, ProfilesConfig):
        from bench.runner import profiles

        return profiles.finished(track, config, spec)
    if isinstance(config, LatentsConfig):
        from bench.runner import identify

        return identify.finished(track, config, spec)
    if track.takes == "predictions":
        from bench.runner import pipeline

        return pipeline.finished_run(track, config, spec)
    if track.takes == "candidates":
        from bench.runner import candidates

        return candidates.finished(track, config, spec)
    if track.takes == "encoder":
        from bench.runner import encoder

        return encoder.finished(track, config, spec)
    return None


def label(track: Track, config: AnyConfig) -> str:
    """The row's name, as :attr:`bench.results.spec.RunSpec.label` has it; no data are read."""
    if isinstance(config, ProfilesConfig):
        from bench.runner import profiles

        return profiles.label(track, config)
    if isinstance(config, LatentsConfig):
        from bench.runner import latents

        return latents.maker(track, config.row, config.effort).label
    return run_spec.label(config.name, recorded(load_class(config.model), config.variant))


def data_name(config: AnyConfig) -> str:
    """What a record calls the data of a configuration; they are not read.

    Raises:
        BenchError: Unknown data.
    """
    if isinstance(config, ProfilesConfig):
        from bench.runner import profiles

        return profiles.data_name(config)
    if isinstance(config, LatentsConfig):
        from bench.data import known_latents

        return known_latents.of_seed(config.data, config.data_seed).name
    from bench.data import load

    return load.resolve(config.data)[0].name
