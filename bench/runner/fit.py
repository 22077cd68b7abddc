"""Fit a model on a task and write its predictions: a folder under ``runs/`` with everything that one run made."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from bench.core.conditions import identity
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.cell_states import input_states
from bench.data.datamodule import PerturbationDataModule
from bench.data.loaders import RoleLoader
from bench.models.base import PerturbationModel
from bench.models.encoder_model import EncoderModel
from bench.results import predicted_states, predictions
from bench.results.spec import RunSpec
from bench.training.embedding import embed_rows, spread_rows
from bench.training.fit import FitContext
from bench.training.trainer import quiet


class _Collect(Callback):
    """Gather predictions batch by batch: all cells of models whose spread means something, else only means.

    Args:
        cells: Whether all cells are kept.
        states: State of each input cell, by number of the context: mean shifts by state are kept too.
    """

    def __init__(self, cells: bool, states: Mapping[int, NDArray[np.int64]]) -> None:
        self.cells, self.states = cells, states
        self.by_state: dict[tuple[int, int], Floats] = {}
        self.blocks: list[np.ndarray[Any, Any]] = []
        self.keys: list[tuple[int, int]] = []

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        predicted = outputs.detach().cpu()
        # float64 means: what is scored is a mean, and float32 sums of 256 cells would add noise to a shift of zero.
        self.blocks.append(
            predicted.float().numpy() if self.cells else predicted.double().mean(dim=0, keepdim=True).numpy()
        )
        key = (int(batch.condition[0]), int(batch.context[0]))
        self.keys += [key] * len(self.blocks[-1])
        state = self.states.get(key[1])
        if state is not None and len(predicted) == len(state):
            moved = (predicted.double() - batch.controls.detach().cpu().double()).numpy()
            self.by_state[key] = predicted_states.means_by_state(moved, state, int(state.max()) + 1)


def fit(
    model: PerturbationModel, datamodule: PerturbationDataModule, seed: int, runtime: FitContext | None = None
) -> dict[str, float]:
    """Fit a model under a seed; return seconds and peak memory (MiB)."""
    model.fit_context = runtime or FitContext(head_seed=seed)
    lightning.seed_everything(seed, workers=True, verbose=False)
    begin = time.perf_counter()
    try:
        model.fit(datamodule)
    except ValueError as error:  # settings that turn out not to fit these data
        raise BenchError(f"model '{type(model).__module__.rsplit('.', 1)[-1]}': {error}.") from error
    return {"fit_s": time.perf_counter() - begin, "peak_memory_mib": _peak()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def val_latents(
    model: PerturbationModel, datamodule: PerturbationDataModule
) -> tuple[np.ndarray[Any, Any], list[str]] | None:
    """Latents of at most 1,500 val cells and their conditions; ``None`` where there is no encoder, or no cell."""
    rows = spread_rows(datamodule.representation_rows("val"), 1_500, datamodule.seed)
    if not isinstance(model, EncoderModel) or len(rows) < 3:
        return None
    return embed_rows(model.embed, datamodule.dataset.x, rows), [
        datamodule.dataset.conditions[i] for i in datamodule.dataset.condition[rows]
    ]


def _check_role(loader: RoleLoader, datamodule: PerturbationDataModule) -> None:
    """Refuse to evaluate on a loader of another role, or on conditions that are not test conditions of the split.

    Raises:
        BenchError: Naming the role or the first such condition.
    """
    role = getattr(loader, "role", "nameless")  # a plain DataLoader has none
    if role != "predict":
        raise BenchError(f"a {role} loader cannot feed an evaluation: pass the predict loader.")
    test = {identity(name) for name in datamodule.split.test}
    odd = [name for name in loader.conditions if identity(name) not in test]
    if odd:
        raise BenchError(
            f"the loader's '{odd[0]}' is not a test condition of this split ({datamodule.split.kind}, seed "
            f"{datamodule.split.seed}); models are evaluated on test conditions only."
        )


def predict(
    model: PerturbationModel, datamodule: PerturbationDataModule, path: Path, spec: RunSpec, logger: Any = None
) -> dict[str, float]:
    """Predict every evaluated test condition from the input cells and write ``predictions.h5ad``.

    Returns:
        Seconds and peak memory (MiB).

    Raises:
        BenchError: If the model predicts NaN, infinity or another shape, or the loader is not one to predict from.
    """
    begin = time.perf_counter()
    loader = datamodule.predict_dataloader()
    _check_role(loader, datamodule)
    collect = _Collect(model.emits_cells, input_states(datamodule.task))
    with quiet():
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=1,
            logger=logger or False,
            callbacks=[collect],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.predict(model, loader, return_predictions=False)
    values = np.concatenate(collect.blocks)
    names = [datamodule.dataset.conditions[condition] for condition, _ in collect.keys]
    if values.shape[1] != len(datamodule.genes) or not np.isfinite(values).all():
        bad = "another shape than [cells, genes]" if values.shape[1] != len(datamodule.genes) else "NaN or infinity"
        raise BenchError(f"model '{spec.model}' predicted {bad}: nothing was scored.")
    obs = pd.DataFrame(
        {
            "condition": names,
            "context": [datamodule.dataset.contexts[context] for _, context in collect.keys],
            "fallbacks": [model.fallbacks(name) for name in names],
        }
    )
    seeds = {"split_seed": spec.split_seed, "pretrain_seed": spec.pretrain_seed, "head_seed": spec.head_seed}
    uns = {
        "run_id": spec.run_id,
        "model": spec.model,
        "data_hash": spec.data_hash,
        "split_id": spec.split_id,
        "controls_used": "input",
        **{key: str(value) for key, value in seeds.items()},
    }
    data = datamodule.dataset
    moved = {Unit(data.conditions[i], data.contexts[c]): shifts for (i, c), shifts in collect.by_state.items()}
    predictions.write(path, values, obs, datamodule.genes, uns, moved)
    return {"predict_s": time.perf_counter() - begin, "peak_memory_mib": _peak()}
