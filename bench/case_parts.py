"""Cut the optional parts of a case out of a truth: cells, the published per-cell forms, doubles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.cellspace import MAX_CELLS, project
from bench.metrics import CellsCase, EpistasisCase, LegacyCase, Sample
from bench.truth import Truth

Cells = Sequence[NDArray[np.float32]]


def true_sample(truth: Truth) -> Sample:
    """The held-out cells of all conditions."""
    return Sample(truth.cell_begin, truth.cell_scores, truth.cell_panel, truth.variance)


def predicted_sample(truth: Truth, cells: Cells) -> Sample:
    """Project predicted cells, one condition at a time; at most 128 of each are kept, drawn at random.

    Args:
        truth: Truth of the task.
        cells: Predicted cells ``[n, G]`` of each condition; read once each.
    """
    rng = np.random.default_rng(0xCE115)
    scores, panel, variance = [], [], []
    for t in range(len(truth.conditions)):
        block = cells[t]
        variance.append(block.var(axis=0, ddof=1, dtype=np.float64))
        drawn = block[rng.permutation(len(block))[:MAX_CELLS]]
        scores.append(project(drawn, truth.pca_mean, truth.pca_axes, truth.targets[t]))
        panel.append(drawn[:, truth.panel])
    begins = np.cumsum([0, *map(len, scores)])
    return Sample(begins, np.concatenate(scores), np.concatenate(panel), np.stack(variance))


def half_sample(truth: Truth, half: int) -> Sample:
    """The sampled test cells in one half; ``variance`` stays that of all the condition's cells."""
    return true_sample(truth).keep(in_half(truth, half))


def in_half(truth: Truth, half: int) -> NDArray[np.bool_]:
    """Which of the sampled test cells are in a half ``[N]``; halves 2i and 2i + 1 are complements."""
    return np.asarray(truth.cell_side[half // 2] == half % 2)


def cells_part(truth: Truth, half: int | None, predicted: Sample | None) -> CellsCase | None:
    """Predicted cells beside all held-out cells, or those of one half."""
    if predicted is None or (predicted.counts < 2).any():
        return None
    return CellsCase(true_sample(truth) if half is None else half_sample(truth, half), predicted)


def legacy_part(truth: Truth, half: int | None) -> LegacyCase:
    """Test cells beside random controls; for a half its own cells and spread, with the gene list of all cells."""
    whole = LegacyCase(
        begins=truth.cell_begin,
        cells=truth.legacy_cells,
        controls=truth.legacy_controls,
        genes=truth.legacy_de,
        spread=truth.legacy_spread[0 if half is None else half + 1],
    )
    return whole if half is None else whole.keep(in_half(truth, half))


def epistasis_part(truth: Truth) -> EpistasisCase:
    """Additive shifts of the doubles of train singles."""
    return EpistasisCase(truth.double_row, truth.additive, truth.epistasis_resolved)
