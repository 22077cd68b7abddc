"""What the values of one unit must have to do with each other, whatever was predicted, where nothing is kept of it.

A prediction is not needed: its size follows from one value, and what halves of the cells say of it lies near what all
cells say.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.scores import LIMIT, Scores, deviation
from bench.audit.second.truth import Truth

Floats = NDArray[np.float64]
#: What rounding of records may leave, relative to 1 or to the value: of what was trained in steps they keep 16 bits.
ROUNDED = 2e-4


class Agreeing:
    """Facts of a task that tie the values of its units.

    Args:
        truth: Of the task.
    """

    def __init__(self, truth: Truth) -> None:
        self.truth, self._whole = truth, Scores(truth, np.zeros_like(truth.c_in))

    @cached_property
    def _halves(self) -> list[Scores]:
        return [Scores(self.truth, self._whole.d_hat, half) for half in range(1, len(self.truth.y))]

    @cached_property
    def _sizes(self) -> tuple[Floats, Floats]:
        """Squared norms of the true shift by all cells ``[T]`` and by halves ``[10, T]``; NaN where none is clear."""
        whole, *halves = [np.where(unclear, np.nan, square) for square, unclear in map(Scores.true_size, self._all)]
        return whole, np.stack(halves)

    @cached_property
    def _all(self) -> list[Scores]:
        return [self._whole, *self._halves]

    @cached_property
    def _patterns(self) -> tuple[Floats, Floats]:
        """Of a unit ``[T]``: what a correlation with all cells is multiplied by to be the mean over halves, and by how
        much that may be off: cov(p, d_half) is cov(p, d) but for cov(p, d_half - d), at most the SD of the difference.
        """
        w = self._whole.w
        with np.errstate(divide="ignore"):
            share = np.stack([np.where(one.flat, np.nan, 1.0 / deviation(one.d, w)) for one in self._halves])
        known = np.isfinite(share)
        n = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, share, 0.0).sum(axis=0) / n
        apart = np.stack([one.d - self._whole.d for one in self._halves])  # [10, T, G]
        used = known / n
        centre = np.einsum("ht,htg->tg", used, apart)
        off = np.stack([deviation(each, w) for each in apart])
        slack = (used * np.abs(np.where(known, share - mean, 0.0)) * off).sum(axis=0) + mean * deviation(centre, w)
        return mean * deviation(self._whole.d, w), slack

    def odd(self, values: Mapping[str, Floats], halves: Mapping[str, Floats], flags: Mapping[str, Floats]) -> str:
        """Say which values contradict each other (empty = none).

        Args:
            values: Against all cells ``[T]``, by metric.
            halves: The same, means over halves of the cells.
            flags: Whether a unit got the chance value because of the prediction ``[T]``, by metric.
        """
        log, size = values["shift_log_ratio"], values["shift_ratio"]
        if _off(size, -np.abs(log), 0.0):
            return "shift_ratio is not the negative size of shift_log_ratio"
        whole, parts = self._sizes
        with np.errstate(divide="ignore", invalid="ignore"):
            each = -np.abs(np.clip(log + 0.5 * np.log(whole / parts), -LIMIT, LIMIT))
        each[:, ~(np.abs(log) < LIMIT * (1 - ROUNDED))] = np.nan  # of what is beyond the limits no size is known
        if _off(halves["shift_ratio"], _mean(each), 0.0):
            return "shift_ratio against halves is not what its value against all cells gives"
        scale, slack = self._patterns
        fine = flags["pearson_delta"] == 0
        if _off(halves["pearson_delta"][fine], (scale * values["pearson_delta"])[fine], slack[fine]):
            return "pearson_delta against halves is farther from its value against all cells than halves differ"
        own = whole * np.exp(2.0 * np.where(np.abs(log) < LIMIT * (1 - ROUNDED), log, np.nan))
        d, w = self._whole.d, self._whole.w
        total, spread = (w * d * d).sum(axis=1), w.sum(axis=1) * deviation(d, w) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = 1.0 - (total - 2.0 * values["calibration_slope"] * own + own) / spread
            room = ROUNDED * own * (1.0 + 2.0 * np.abs(values["calibration_slope"])) / spread
        r2[flags["calibration_slope"] > 0] = np.nan
        if _off(values["r2_delta"], r2, room):
            return "r2_delta is not what size and slope give"
        return ""


def _mean(block: Floats) -> Floats:
    known = np.isfinite(block)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, block, 0.0).sum(axis=0) / known.sum(axis=0))


def _off(recorded: Floats, expected: Floats, room: Floats | float) -> bool:
    """Whether any value that both have is farther off than room and rounding leave."""
    known = np.isfinite(recorded) & np.isfinite(expected)
    gap = np.abs(recorded - expected) - room - ROUNDED * np.maximum(1.0, np.abs(recorded))
    return bool((gap[known] > 0).any())
