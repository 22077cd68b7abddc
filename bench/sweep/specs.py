"""What the runs of a suite resolve to; data that several have in common are read once."""

from __future__ import annotations

from bench.core.track import Track
from bench.data import known_latents, load
from bench.data.dataset import Dataset
from bench.data.known_latents import Problem
from bench.data.profiles.wells import Wells
from bench.data.splits import split as splits
from bench.data.task import Task
from bench.results.spec import RunSpec
from bench.runner import identify, profiles
from bench.runner.config import AnyConfig, LatentsConfig, ProfilesConfig, RunConfig, spec_of


class Resolver:
    """Resolves configurations, and keeps the data that were read for it."""

    def __init__(self) -> None:
        self._datasets: dict[str, Dataset] = {}
        self._tasks: dict[tuple[str, str, int, int], Task] = {}
        self._wells: dict[str, Wells] = {}
        self._screen: tuple[tuple[str, int], Problem] | None = None

    def specs(self, track: Track, config: AnyConfig) -> list[tuple[AnyConfig, RunSpec]]:
        """A spec for each record that a configuration makes, and the configuration with what is known of its data.

        Raises:
            BenchError: Unknown data or split, or data that are not there.
        """
        if isinstance(config, ProfilesConfig):
            wells = self._wells_of(track, config)
            config = config.model_copy(update={"source": wells.source})
            return [(config, spec) for spec in profiles.specs(track, config, wells)]
        if isinstance(config, LatentsConfig):
            return [(config, identify.resolved(track, config, self._screen_of(config)))]
        (_, pretrain_seed, head_seed), task = config.seeds[0], self._task_of(config)
        # An encoder has no head: one encoder, one record.
        head_seed = pretrain_seed if track.takes == "encoder" else head_seed
        return [(config, spec_of(config, task, pretrain_seed, head_seed))]

    def _task_of(self, config: RunConfig) -> Task:
        key = (config.data, str(config.split), config.seeds[0][0], config.folds[0])
        if config.data not in self._datasets:
            self._datasets[config.data] = load.load(load.resolve(config.data)[0])
        if key not in self._tasks:
            dataset = self._datasets[config.data]
            self._tasks[key] = Task(dataset, splits.draw(dataset, *key[1:]))
        return self._tasks[key]

    def _screen_of(self, config: LatentsConfig) -> Problem:
        """The screen, drawn once for all rows that follow each other on it: it has every one of its cells."""
        key = (config.data, config.data_seed)
        if self._screen is None or self._screen[0] != key:
            self._screen = (key, known_latents.load(*key))
        return self._screen[1]

    def _wells_of(self, track: Track, config: ProfilesConfig) -> Wells:
        key = f"{config.data} {profiles.meant(track, config.given).asked}"
        if key not in self._wells:
            self._wells[key] = profiles.read(config, track)
        return self._wells[key]
