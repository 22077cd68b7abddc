"""Encoders on profiles of wells: pretrained on all of them without labels, frozen, and asked for latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import lightning
import numpy as np

from bench.core.console import note
from bench.core.errors import BenchError
from bench.core.files import sha256_arrays
from bench.core.given_files import recorded
from bench.data.datamodule import PerturbationDataModule
from bench.data.profiles.as_task import as_task
from bench.data.profiles.wells import Mask, Wells
from bench.models.response import ResponseConfig
from bench.models.ssl.supervised import Supervised
from bench.results.records import Budget
from bench.runner.config import RunConfig, make_model
from bench.runner.encoder import FrozenEncoder, check_encoder
from bench.runner.model_choice import load_class, sources
from bench.training.embedding import scale_of
from bench.training.fit import FitContext
from bench.training.pretraining import PretrainConfig

#: Wells that are embedded at once.
_BLOCK = 1_024


@dataclass(frozen=True)
class EncodedWells:
    """Latents of wells, and how they were made.

    Attributes:
        wells: The experiment, latents in place of features: centred and scaled by the negative controls, as a cosine
            needs an origin.
        kind: What the encoder's row is.
        version: Of the model.
        arguments: Of the encoder; those of the response, which is not used, are left out.
        variant: Those that differ from the defaults.
        budget: What the pretraining cost.
        warnings: What a reader should know.
        inputs: Hashes of what defines the encoder.
        selection: How its step was chosen.
    """

    wells: Wells
    kind: Literal["model", "control"]
    version: int
    arguments: Mapping[str, Any]
    variant: Mapping[str, Any]
    budget: Budget
    warnings: tuple[str, ...]
    inputs: Mapping[str, str]
    selection: str | None


def encode(wells: Wells, config: RunConfig, seed: int, fitted: Mask) -> EncodedWells:
    """Pretrain an encoder (or take it from the checkpoint of an earlier run) and embed every well.

    Args:
        wells: Profiles.
        config: Model, arguments and folder.
        seed: Of the pretraining.
        fitted: Negative controls that features and latents are centred and scaled by ``[N]``; the others are wells like
            any other.

    Raises:
        BenchError: A model that has no encoder, needs labels, or does not fit these data.
    """
    model_class = load_class(config.model)
    check_encoder(config.model, model_class)
    if issubclass(model_class, Supervised):
        raise BenchError(f"encoder '{config.model}' learns from labels, and wells have none here; choose another.")
    task = as_task(replace(wells, control=fitted))
    model = make_model(config)
    model.fit_context = FitContext(
        folder=config.out / "encoders", arguments=config.arguments, fresh=config.force, evaluates_encoder=True
    )
    lightning.seed_everything(seed, workers=True, verbose=False)
    note(f"{config.name} | {wells.name} | seed {seed}: encoder on {len(wells)} wells without labels")
    try:
        model.freeze_encoder(PerturbationDataModule(task, seed=seed))
    except ValueError as error:
        raise BenchError(f"encoder '{config.model}': {error}.") from error
    embed, x = FrozenEncoder(model, dict(model.inputs)), task.dataset.x
    blocks = [embed(x[i : i + _BLOCK].toarray()) for i in range(0, x.shape[0], _BLOCK)]
    z = np.concatenate(blocks)
    if not np.isfinite(z).all():
        raise BenchError(f"encoder '{config.model}': its latents are NaN or infinite on these wells. Lower its rate.")
    z = scale_of(z[fitted])(z)
    trained = embed.trained
    second = {field.name for field in fields(ResponseConfig)} - {field.name for field in fields(PretrainConfig)}
    arguments, variant = (
        {name: value for name, value in recorded(model_class, given).items() if name not in second}
        for given in (config.arguments, config.variant)
    )
    return EncodedWells(
        wells=wells.with_values(z.astype(np.float64), sha256_arrays(z)),
        kind="control" if model_class.row_kind == "control" else "model",
        version=model_class.version,
        arguments=arguments,
        variant=variant,
        budget=trained.budget,
        warnings=trained.warnings,
        inputs={**sources(config.model), **embed.inputs},
        selection=trained.selection,
    )
