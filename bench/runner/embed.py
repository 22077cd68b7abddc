"""Cells as a frozen encoder sees them, in Python."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.core.conditions import written
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.runner.api import as_task
from bench.runner.config import make_config, make_model
from bench.runner.encoder import check_encoder
from bench.runner.model_choice import Named, choose
from bench.training.embedding import embed_rows
from bench.training.fit import FitContext


def embed(
    model: Named, task: Any = "simulated", adata: Any = None, *, seed: int | None = None, **arguments: Any
) -> Any:
    """Train a model's encoder on a task, freeze it, and embed cells.

    Args:
        model: As for :func:`bench.run`, of a kind that has an encoder.
        task: As for :func:`bench.run`; the encoder sees no test cell of it.
        adata: Cells to embed: X log1p-normalised to the same total as the task's, ``var_names`` hold the task's genes;
            absent = all cells of the task.
        seed: Of the encoder; absent = the split's.
        **arguments: The model's own.

    Returns:
        A copy of ``adata`` (or the task's cells with condition, context and batch in ``obs``) with the embedding
        ``[cells, width]`` in ``obsm["X_<model>"]``.

    Raises:
        BenchError: A model without encoder, or genes that are missing.
    """
    task, choice = as_task(task, seed), choose(model)
    check_encoder(choice.model, choice.model_class)
    config = make_config(choice, arguments, data=task.dataset.name, out=".", leaderboards=".")
    own = task.split.seed if seed is None else seed
    made = make_model(config, choice.instance)
    made.fit_context = FitContext(arguments=config.arguments)  # no folder: nothing is written
    lightning.seed_everything(own, workers=True, verbose=False)
    made.freeze_encoder(PerturbationDataModule(task, seed=own))
    cells = _cells(task) if adata is None else adata.copy()
    x = _expression(cells, task)
    cells.obsm[f"X_{config.name}"] = embed_rows(made.embed, x, np.arange(x.shape[0]))
    return cells


def _cells(task: Task) -> Any:
    """All cells of a task as AnnData."""
    import anndata

    dataset = task.dataset
    obs = pd.DataFrame(
        {
            "condition": np.array([written(name) for name in dataset.conditions])[dataset.condition],
            "context": np.array(dataset.contexts)[dataset.context],
            "batch": np.array(dataset.batches)[dataset.batch],
        },
        index=pd.Index(dataset.barcodes.tolist()),
    )
    return anndata.AnnData(dataset.x.copy(), obs=obs, var=pd.DataFrame(index=pd.Index(list(dataset.genes))))


def _expression(cells: Any, task: Task) -> sp.csr_matrix:
    """Expression of the task's genes, in its order ``[cells, G]``, float32."""
    position = {str(name): i for i, name in enumerate(cells.var_names)}
    absent = [gene for gene in task.dataset.genes if gene not in position]
    if absent:
        raise BenchError(
            f"{len(absent)} of the task's {len(task.dataset.genes)} genes are missing from var_names "
            f"({', '.join(absent[:5])})."
        )
    x = sp.csr_matrix(cells.X)[:, [position[gene] for gene in task.dataset.genes]].astype(np.float32)
    if not np.isfinite(x.data).all() or (len(x.data) and x.data.max() > np.log1p(1e6)):
        raise BenchError("X holds NaN, infinity or values above log1p(1e6): expected log1p of normalised counts.")
    return x
