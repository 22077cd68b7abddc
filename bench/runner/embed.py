"""Cells as a frozen encoder sees them, and what such latents are worth, in Python."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.core.arguments import NonNegativeInt
from bench.core.conditions import written
from bench.core.errors import BenchError
from bench.core.python_door import written_for
from bench.core.text import an
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.results import records
from bench.runner import by_track
from bench.runner.api import as_task
from bench.runner.config import make_config, make_model
from bench.runner.encoder import check_encoder
from bench.runner.model_choice import Named, choose
from bench.runner.result import Folders, Result
from bench.tracks import registry as tracks
from bench.training.embedding import embed_rows
from bench.training.fit import FitContext


def embed(
    model: Named, task: Any = "simulated", adata: Any = None, *, seed: NonNegativeInt | None = None, **arguments: Any
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


def score_embeddings(
    embeddings: Any,
    task: Any = "simulated",
    name: str | None = None,
    *,
    key: str = "",
    pretrained_on: str = "",
    out: str | Path | None = None,
    leaderboards: str | Path | None = None,
) -> Result:
    """Say how well perturbations are recognised from latents that any encoder made: a row of ``bench frozen``.

    Args:
        embeddings: AnnData or an h5ad file, a row per cell, ``obs_names`` = the task's barcodes in any order.
        task: As for :func:`bench.run`.
        name: The row's name; absent = the file's, or ``mine``.
        key: Where the latents are: a key of ``obsm``, or ``X``; needed where there is an ``obsm``.
        pretrained_on: What the encoder was pretrained on; it stands in the record.
        out: Folder that keeps the run; absent = nothing is kept.
        leaderboards: Folder that keeps the record; absent = ``leaderboards`` in ``out``.

    Raises:
        BenchError: Cells without latents, barcodes that stand twice, latents that are not finite, no such key.
    """
    task, folders = as_task(task), Folders.of(out, leaderboards)
    with tempfile.TemporaryDirectory(prefix="bench-") as given:
        if hasattr(embeddings, "obsm"):
            path, name = Path(given) / "embeddings.h5ad", name or "mine"
            _latents_alone(embeddings, key).write_h5ad(path)
        elif isinstance(embeddings, str | Path):
            path = Path(embeddings)
        else:
            kind = an(type(embeddings).__name__)
            raise BenchError(f"{kind} holds no latents by cell: expected an AnnData or an h5ad file.")
        config = make_config(
            choose("embeddings"),
            {"encoder_embeddings": str(path), "key": key, "pretrained_on": pretrained_on},
            data=task.dataset.name,
            split=task.split.kind,
            seeds=((task.split.seed,) * 3,),
            folds=(task.split.control_fold,),
            out=folders.out,
            leaderboards=folders.leaderboards,
            label=name,
        )
        with written_for(Path(given) / "embeddings.h5ad", "the AnnData"):
            return folders.result(by_track.run(tracks.by_verb("frozen"), config, task))


def _latents_alone(adata: Any, key: str) -> Any:
    """The latents of an object without its other matrices, which nobody reads; all of it where the key is not there."""
    import anndata

    if key not in adata.obsm:
        return adata
    return anndata.AnnData(obs=pd.DataFrame(index=adata.obs_names), obsm={key: np.asarray(adata.obsm[key])})


def pretraining_said(paths: Sequence[Path]) -> list[str]:
    """What rows of outside encoders were pretrained on, as their records say, once each."""
    found = (records.read(path).spec for path in paths)
    said = {spec.label: spec.arguments["pretrained_on"] for spec in found if "pretrained_on" in spec.arguments}
    return [f"note ({label}): latents of a file; pretrained on: {text or 'not said'}" for label, text in said.items()]


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
