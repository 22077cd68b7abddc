"""Encoders on profiles of wells: pretrained on all of them without labels, frozen, and asked for latents."""

from __future__ import annotations

from dataclasses import fields, replace

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
from bench.results.profiles import Profiles
from bench.runner.config import RunConfig, make_model
from bench.runner.encoder import FrozenEncoder, check_encoder
from bench.runner.model_choice import load_class, sources
from bench.training.embedding import scale_of
from bench.training.fit import FitContext
from bench.training.pretraining import PretrainConfig

#: Wells that are embedded at once.
_BLOCK = 1_024
#: Of how wells are pretrained on, counted into an encoder's version. 2: a step is chosen by what is decoded of wells
#: beyond their plate; 1 counted the plate's effect too.
_VERSION = 2


def made_by(config: RunConfig) -> Profiles:
    """What is known of an encoder's profiles before it is pretrained; arguments of its response, which is not used, are
    left out.

    Raises:
        BenchError: A model that has no encoder, or needs labels.
    """
    model_class = load_class(config.model)
    check_encoder(config.model, model_class)
    if issubclass(model_class, Supervised):
        raise BenchError(f"encoder '{config.model}' learns from labels, and wells have none here; choose another.")
    second = {field.name for field in fields(ResponseConfig)} - {field.name for field in fields(PretrainConfig)}
    arguments, variant = (
        {name: value for name, value in recorded(model_class, given).items() if name not in second}
        for given in (config.arguments, config.variant)
    )
    return Profiles(
        name=config.name,
        kind="control" if model_class.row_kind == "control" else "model",
        version=model_class.version + _VERSION - 1,
        arguments=arguments,
        variant=variant,
        seed=config.seeds[0][1],
        inputs=sources(config.model),
    )


def encode(wells: Wells, config: RunConfig, made: Profiles, fitted: Mask) -> tuple[Wells, Profiles]:
    """Pretrain an encoder (or take it from the checkpoint of an earlier run) and embed every well.

    Args:
        wells: Profiles.
        config: Model, arguments, one seed and folder.
        made: From :func:`made_by`.
        fitted: Negative controls that features and latents are centred and scaled by ``[N]``; the others are wells like
            any other.

    Returns:
        The experiment, latents in place of features: centred and scaled by the negative controls, as a cosine needs an
        origin; and how they were made.

    Raises:
        BenchError: A model that does not fit these data.
    """
    task = as_task(replace(wells, control=fitted))
    model = make_model(config)
    model.fit_context = FitContext(
        folder=config.out / "encoders", arguments=config.arguments, fresh=config.force, evaluates_encoder=True
    )
    lightning.seed_everything(made.seed, workers=True, verbose=False)
    note(f"{config.name} | {wells.name} | seed {made.seed}: encoder on {len(wells)} wells without labels")
    try:
        model.freeze_encoder(PerturbationDataModule(task, seed=made.seed))
    except ValueError as error:
        raise BenchError(f"encoder '{config.model}': {error}.") from error
    embed, x = FrozenEncoder(model, dict(model.inputs)), task.dataset.x
    blocks = [embed(x[i : i + _BLOCK].toarray()) for i in range(0, x.shape[0], _BLOCK)]
    z = np.concatenate(blocks)
    if not np.isfinite(z).all():
        raise BenchError(f"encoder '{config.model}': its latents are NaN or infinite on these wells. Lower its rate.")
    z = scale_of(z[fitted])(z)
    trained = embed.trained
    made = replace(
        made,
        budget=trained.budget,
        warnings=trained.warnings,
        inputs={**made.inputs, **embed.inputs},
        selection=trained.selection,
    )
    return wells.with_values(z.astype(np.float64), sha256_arrays(z)), made
