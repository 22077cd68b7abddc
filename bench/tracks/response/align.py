"""Put a prediction beside a truth: all of it or some units, all cells or one half of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.cellspace import MAX_CELLS, project
from bench.stats.differential import benjamini_hochberg
from bench.tracks.response.metrics import (
    AdditiveShifts,
    CellPair,
    Evaluation,
    GearsTruth,
    LegacyCells,
    Sample,
    StateShifts,
    UnitCodes,
)
from bench.tracks.response.metrics.functional import bounded
from bench.tracks.response.metrics.optional import cells_of
from bench.tracks.response.truth.fields import Truth

Cells = Sequence[NDArray[np.float32]]
Rows: TypeAlias = slice | NDArray[np.int64]  # some of the units; a slice copies nothing
EVERY = slice(None)
#: Values that are worked on at once: 0.6 MB, so that a handful of arrays stay in a core's second-level cache.
BLOCK_VALUES = 80_000


def true_sample(truth: Truth, rows: Rows = EVERY) -> Sample:
    """The held-out cells of some units."""
    return Sample(truth.cell_begin, truth.cell_scores, truth.cell_markers, truth.variance).subset(rows)


def predicted_sample(truth: Truth, cells: Cells) -> Sample:
    """Project predicted cells, one unit at a time; at most 128 of each are kept, drawn at random.

    Args:
        truth: Truth of the task.
        cells: Predicted cells ``[n, G]`` of each unit; read once each.
    """
    rng = np.random.default_rng(0xCE115)
    scores, markers, variance = [], [], []
    for t in range(len(truth.conditions)):
        block = bounded(cells[t])
        variance.append(_variance(block))
        drawn = block[rng.permutation(len(block))[:MAX_CELLS]]
        scores.append(project(drawn, truth.pca_mean, truth.pca_axes, truth.targets[t]))
        markers.append(drawn[:, truth.markers])
    begins = np.cumsum([0, *map(len, scores)])
    return Sample(begins, np.concatenate(scores), np.concatenate(markers), np.stack(variance))


def _variance(cells: NDArray[np.float32]) -> Floats:
    """Variance by gene ``[G]``, ddof 1, in float64; of a few genes at a time, which stay in the processor's cache."""
    parts = np.array_split(cells, max(1, cells.size // BLOCK_VALUES), axis=1)
    return np.concatenate([part.var(axis=0, ddof=1, dtype=np.float64) for part in parts])


def half_sample(truth: Truth, half: int, rows: Rows = EVERY) -> Sample:
    """The sampled test cells in one half; ``variance`` stays that of all the unit's cells."""
    whole = true_sample(truth, rows)
    return whole.keep(in_half(truth, half, rows))


def in_half(truth: Truth, half: int, rows: Rows = EVERY) -> NDArray[np.bool_]:
    """Which of the units' sampled test cells are in a half ``[N]``; halves 2i and 2i + 1 are complements."""
    cells, _ = cells_of(truth.cell_begin, rows)
    return np.asarray(truth.cell_side[half // 2][cells] == half % 2)


def cells_part(truth: Truth, half: int | None, predicted: Sample | None, rows: Rows = EVERY) -> CellPair | None:
    """Predicted cells beside all held-out cells, or those of one half."""
    if predicted is None or (predicted.counts < 2).any():
        return None
    return CellPair(true_sample(truth, rows) if half is None else half_sample(truth, half, rows), predicted)


def legacy_part(truth: Truth, half: int | None, rows: Rows = EVERY) -> LegacyCells:
    """Test cells beside random controls; for a half its own cells and spread, with the gene list of all cells."""
    whole = LegacyCells(
        begins=truth.cell_begin,
        cells=truth.legacy_cells,
        controls=truth.legacy_controls,
        genes=truth.legacy_de,
        spread=truth.legacy_spread[0 if half is None else half + 1],
    ).subset(rows)
    return whole if half is None else whole.keep(in_half(truth, half, rows))


def epistasis_part(truth: Truth, rows: Rows = EVERY) -> AdditiveShifts:
    """Additive shifts of the doubles of train singles."""
    return AdditiveShifts(
        truth.double_row, truth.additive, truth.epistasis_resolved, truth.kept_additive, truth.kept_resolved
    ).subset(rows)


def codes_part(truth: Truth, rows: Rows = EVERY) -> UnitCodes:
    """Condition and context of the units."""
    numbers = truth.once("condition numbers", lambda: np.unique(truth.conditions, return_inverse=True)[1])
    return UnitCodes(numbers.astype(np.int64), truth.context).subset(rows)


def states_part(
    truth: Truth, half: int | None, predicted: NDArray[Any] | None, rows: Rows = EVERY
) -> StateShifts | None:
    """Predicted shifts by state beside those of all cells, or of one half; known where both are.

    Args:
        truth: Truth of the task.
        half: Index of a half; absent = all cells.
        predicted: Of these units ``[T, K, G]``.
        rows: Units.
    """
    if predicted is None or not truth.state_shift.shape[1]:
        return None
    true = (truth.state_shift if half is None else truth.state_half[half])[rows]
    if half is not None:  # the other half may lack cells of a state that this one has
        true = np.where(np.isfinite(predicted).all(axis=(1, 2), keepdims=True), true, np.nan)
    return StateShifts(true, predicted)


def sampling_variance(truth: Truth, half: int | None = None, rows: Rows = EVERY) -> Floats:
    """Variance of the true shift's own sampling noise ``[T, G]``: of the test cells' mean, and of the controls' mean.

    Args:
        truth: Truth of the task.
        half: Index of a half (even ones hold the odd cell); absent = all cells.
        rows: Units.
    """
    n = truth.cells[rows] if half is None else (truth.cells[rows] + 1 - half % 2) // 2
    controls = 1 / np.maximum(truth.n_controls[truth.context[rows], 1], 1)
    noise: Floats = truth.variance[rows] / np.maximum(n, 1)[:, None] + controls[:, None] * truth.control_sd**2
    return noise


def align(
    truth: Truth,
    y_hat: Floats,
    half: int | None = None,
    cells: Sample | None = None,
    rows: Rows = EVERY,
    plain: bool = False,
    states: NDArray[Any] | None = None,
) -> Evaluation:
    """Put a prediction beside the whole truth, or beside one half of it with that half's own DE list.

    Args:
        truth: Truth of the task.
        y_hat: Predicted means of these units ``[T, G]``.
        half: Index of a half; absent = all cells.
        cells: Predicted cells of these units, where the model emits some (see :func:`predicted_sample`).
        rows: Units; they are a gallery of their own.
        plain: Leave out DE, sampling noise and all optional parts, for metrics that ask for a gallery only.
        states: Predicted shifts of these units by state ``[T, K, G]``, where the prediction holds some.
    """
    y = (truth.y if half is None else truth.half_y[half])[rows]
    de_z = (truth.de_z if half is None else truth.half_de_z[half])[rows]
    targets = truth.targets[rows]
    if plain:
        de_z, significant = np.broadcast_to(0.0, y.shape), np.broadcast_to(np.zeros(1, dtype=np.bool_), y.shape)
    else:
        significant = truth.significant[rows] if half is None else benjamini_hochberg(de_z, truth.expressed)
    whole = half is None and not plain
    return Evaluation(
        y=y,
        y_hat=y_hat,
        d=y - truth.c_ref[rows],
        d_hat=y_hat - truth.c_in[rows],
        scored=truth.expressed & ~targets,
        gallery_scored=truth.expressed & ~targets.any(axis=0),
        train_delta=truth.train_delta,
        control_sd=truth.control_sd,
        expressed=truth.expressed,
        de_z=de_z,
        significant=significant,
        gears=GearsTruth(y=y, control=truth.gears_control[truth.context[rows]], de_genes=truth.gears_de[rows])
        if whole
        else None,
        train_y=truth.train_y,
        d_var=None if plain else sampling_variance(truth, half, rows),
        cells=None if plain else cells_part(truth, half, cells, rows),
        legacy=None if plain else legacy_part(truth, half, rows),
        epistasis=None if plain else epistasis_part(truth, rows),
        crossed=codes_part(truth, rows),
        states=states_part(truth, half, states, rows),
        state_change=truth.state_change[rows] if truth.state_shift.shape[1] else None,
    )
