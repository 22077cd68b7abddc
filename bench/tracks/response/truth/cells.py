"""What the truth keeps of single cells: a sample of each test unit, small enough to be cached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import CONTROL
from bench.core.typing import Floats
from bench.data.dataset import Dataset
from bench.stats.cellspace import MAX_CELLS, principal_axes, project

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Train cells from which the principal axes are taken.
PCA_CELLS = 2_000
#: Genes on which single cells are compared one by one.
PANEL_GENES = 50


def sample(groups: Sequence[Rows], seed: int) -> tuple[Rows, Rows]:
    """Draw at most 128 cells of each unit.

    Args:
        groups: Rows of each unit's cells.
        seed: Seed of the draw.

    Returns:
        Their rows in random order, unit after unit ``[N]``, and where each unit begins ``[T + 1]``.
    """
    rng = np.random.default_rng([seed, 0xCE11])
    drawn = [rng.permutation(rows)[:MAX_CELLS] for rows in groups]
    return np.concatenate(drawn), np.cumsum([0, *map(len, drawn)])


def axes_of(dataset: Dataset, train_rows: Rows, seed: int) -> dict[str, Any]:
    """Principal axes of (a sample of) the train cells: ``pca_mean`` and ``pca_axes``."""
    rows = train_rows[np.argsort(dataset.barcodes[train_rows], kind="stable")]  # whatever the order of the file
    if len(rows) > PCA_CELLS:
        rows = rows[np.random.default_rng([seed, 0x9CA]).permutation(len(rows))[:PCA_CELLS]]
    mean, axes = principal_axes(dataset.x[rows].toarray())
    return {"pca_mean": mean, "pca_axes": axes}


def marker_genes(train_means: Floats, control_sd: Floats, allowed: Bools) -> NDArray[np.int64]:
    """Genes that answer to perturbations: those whose train means vary most ``[<= 50]``.

    They are chosen by train units: chosen by the test cells, even a perfect model would look overconfident.

    Args:
        train_means: Means of the train units, differences between contexts' controls taken off ``[K, G]``.
        control_sd: Used instead with fewer than two of them ``[G]``.
        allowed: Expressed genes that no test unit targets ``[G]``.
    """
    spread = train_means.std(axis=0) if len(train_means) > 1 else control_sd
    order = np.argsort(np.where(allowed, -spread, np.inf), kind="stable")
    return np.sort(order[: min(PANEL_GENES, int(allowed.sum()))])


def paired_controls(dataset: Dataset, rows: Rows, seed: int) -> Rows:
    """One random control for each cell: of its batch and context, else of its context, else any.

    Source: BioJEPAC draws one control of the same gem group per cell, with replacement.
    """
    rng = np.random.default_rng([seed, 0x1E6A])
    controls = dataset.cells_of[CONTROL]
    luck = rng.random(len(rows))
    labels = np.stack([dataset.context, dataset.batch, np.zeros_like(dataset.batch)])
    drawn = np.full(len(rows), -1, dtype=np.int64)
    for which in ([0, 1], [0], [2]):  # the last is the same for all cells
        wanted, there = labels[which][:, rows], labels[which][:, controls]
        for value in np.unique(wanted[:, drawn < 0], axis=1).T:
            pool = controls[(there == value[:, None]).all(axis=0)]
            mine = np.flatnonzero((drawn < 0) & (wanted == value[:, None]).all(axis=0))
            if len(pool):
                drawn[mine] = pool[(luck[mine] * len(pool)).astype(np.int64)]
    return drawn


def values(
    dataset: Dataset,
    rows: Rows,
    controls: Rows,
    begins: Rows,
    space: dict[str, Any],
    targets: Bools,
    markers: NDArray[np.int64],
    top: NDArray[np.int64],
) -> dict[str, Any]:
    """Read what is kept of the sampled cells.

    Args:
        dataset: The cells.
        rows: Sampled rows ``[N]``.
        controls: A control for each of them ``[N]``.
        begins: Where each unit begins ``[T + 1]``.
        space: From :func:`axes_of`.
        targets: Genes perturbed in each unit ``[T, G]``.
        markers: Markers ``[P]``.
        top: Top DE genes of each unit ``[T, K]``.

    Returns:
        ``cell_scores [N, C]``, ``cell_markers [N, P]``, ``legacy_cells [N, K]`` and ``legacy_controls [N, K]``.
    """
    kept: dict[str, list[NDArray[Any]]] = {k: [] for k in ("cell_scores", "cell_markers", "legacy_cells")}
    kept["legacy_controls"] = []
    for t, (begin, end) in enumerate(zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True)):
        block = dataset.x[rows[begin:end]].toarray()
        kept["cell_scores"].append(project(block, space["pca_mean"], space["pca_axes"], targets[t]))
        kept["cell_markers"].append(block[:, markers])
        kept["legacy_cells"].append(block[:, top[t]])
        kept["legacy_controls"].append(dataset.x[controls[begin:end]].toarray()[:, top[t]])
    return {name: np.concatenate(blocks).astype(np.float32) for name, blocks in kept.items()}
