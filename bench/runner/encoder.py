"""A model's frozen encoder as the protocol takes it: made, or taken from the checkpoint of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from numpy.typing import NDArray

from bench.core.console import note
from bench.core.errors import BenchError
from bench.core.track import Track
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task, load_task
from bench.models.base import PerturbationModel
from bench.models.encoder_model import EncoderModel
from bench.results.spec import RunSpec
from bench.results.trained import Trained
from bench.runner.config import RunConfig, budget_of, make_model, spec_of
from bench.runner.model_choice import load_class, sources
from bench.tracks import registry
from bench.training.fit import FitContext


def check_encoder(name: str, model: type[PerturbationModel]) -> None:
    """Refuse a model that has no encoder.

    Raises:
        BenchError: Naming it.
    """
    if not issubclass(model, EncoderModel):
        raise BenchError(f"model '{name}' has no encoder to freeze; 'bench list models' shows those that do.")


@dataclass(frozen=True)
class FrozenEncoder:
    """A model's frozen encoder as a function of dense expression ``[n, G]``.

    Attributes:
        model: The model.
        inputs: Hashes of what it was given beside the task, for the record.
    """

    model: EncoderModel
    inputs: Mapping[str, str]

    @property
    def trained(self) -> Trained:
        """What making it cost, and how its settings were chosen."""
        report = self.model.fit_report
        return Trained(budget_of(report), report.selection, tuple(self.model.warnings))

    def __call__(self, cells: NDArray[Any]) -> NDArray[Any]:
        """Embed cells ``[n, D]``."""
        with torch.inference_mode():
            return self.model.embed(torch.from_numpy(cells)).float().numpy()


def encoder_of(
    config: RunConfig, seeds: tuple[int, int, int], task: Task | None = None
) -> tuple[Task, FrozenEncoder, RunSpec]:
    """Make (or take from the checkpoint of a finished run) a model's frozen encoder.

    Args:
        config: Model, data and split.
        seeds: ``(split, pretrain, head)``.
        task: A task that is in memory already, instead of the data and split that the configuration names.

    Returns:
        The task, the encoder as a function of dense expression, and the spec.

    Raises:
        BenchError: A model that has no encoder.
    """
    split_seed, pretrain_seed, _ = seeds
    check_encoder(config.model, load_class(config.model))
    if task is None:
        task = load_task(config.data, config.split, split_seed, 0, config.split_file)
    spec = spec_of(config, task, pretrain_seed, pretrain_seed)  # without a head: one encoder, one record
    model = make_model(config)
    model.fit_context = FitContext(
        folder=config.out / "encoders", arguments=config.arguments, fresh=config.force, evaluates_encoder=True
    )
    lightning.seed_everything(pretrain_seed, workers=True, verbose=False)
    note(f"{spec.label} | {task.dataset.name} | seed {split_seed}: encoder")
    try:
        model.freeze_encoder(PerturbationDataModule(task, seed=pretrain_seed))
    except ValueError as error:  # settings that turn out not to fit these data
        raise BenchError(f"model '{config.model}': {error}.") from error
    return task, FrozenEncoder(model, dict(model.inputs)), spec


def run(track: Track, config: RunConfig, task: Task | None = None) -> list[Path]:
    """Evaluate a model's frozen encoder under every seed asked for; return the records' paths.

    Args:
        track: Takes encoders.
        config: What to run.
        task: A task that is in memory already, instead of the data and split that the configuration names.

    Raises:
        BenchError: Bad input of any kind.
    """
    paths = []
    for seeds in config.seeds:
        asked, embed, spec = encoder_of(config, seeds, task)
        where = (config.out, config.leaderboards, config.force)
        inputs = {**sources(config.model), **embed.inputs}
        paths.append(registry.evaluation(track).run_encoder(asked, embed, spec, *where, inputs, embed.trained))
    return paths


def finished(track: Track, config: RunConfig, spec: RunSpec) -> Path | None:
    """Look for the record of a run; where it is whole, put it under the leaderboards folder and return its path."""
    found: Path | None = registry.evaluation(track).finished(
        spec, config.out, config.leaderboards, sources(config.model)
    )
    return found
