"""What of a run's predictions is kept beside its record: coordinates of candidates in the common space.

Rows of each context, one after the other: the mean ``m`` of what is predicted; then, all less ``m``, every candidate
that was done here or is a single, in the order of the candidates; then, where pairs are asked, the map ``W [K + 1, K]``
of a row for each axis and one more, and what it leaves of each pair that is a candidate of E3:

    pair a + b = m + [a + b, 1] W + left

Pairs are thousands, and nearly what their singles add up to: with the map, what is left takes a fifth of the room.
Axes point where their largest weight is positive. A negative step marks a row of which the model knows nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.results.shifts import Rows
from bench.stats.cellspace import COMPONENTS
from bench.tracks.planning.evaluate import Predictions, merged_predictions
from bench.tracks.planning.truth import Context, Facts

Bools = NDArray[np.bool_]
#: Names of the columns; with fewer axes the last are zero.
AXES = tuple(f"axis {i + 1}" for i in range(COMPONENTS))
#: Steps in a row's root mean square, at least; those in that of all pairs, and where there are fewer than
#: :data:`MANY`, as fewer errors cancel. Measured on 34 rows: pairs with 14 steps would take a fifth more room for all.
STEPS, PAIR_STEPS, FINE_PAIR_STEPS, MANY = 2048, 10, 256, 1000
#: What rounding may leave of two equal predictions, as a share of the mean.
NOTHING = 1e-7


def rows_of(facts: Facts, predictions: Predictions) -> Rows:
    """What is to be kept of one run.

    Args:
        facts: The truth.
        predictions: Of expression, as they were scored.
    """
    parts = [_of_context(facts, here, predictions) for here in facts.contexts]
    rows, steps = (np.concatenate(found) for found in zip(*parts, strict=True))
    weights = facts.space.axes
    sign = np.sign(weights[np.arange(len(weights)), np.abs(weights).argmax(axis=1)])
    # A map turns with the axes on both sides.
    for begin, count in _maps(facts, [len(own) for own, _ in parts]):
        rows[begin : begin + count] *= sign[:, None]
    return Rows(AXES, np.pad(rows * sign, ((0, 0), (0, len(AXES) - rows.shape[1]))), steps)


def _maps(facts: Facts, lengths: list[int]) -> list[tuple[int, int]]:
    """Where the rows of the maps that belong to axes begin, and how many there are."""
    found, begin, count = [], 0, len(facts.space.axes)
    for here, length in zip(facts.contexts, lengths, strict=True):
        if len(here.candidates.pairs):
            found.append((begin + length - len(here.candidates.pairs) - count - 1, count))
        begin += length
    return found


def _of_context(facts: Facts, here: Context, predictions: Predictions) -> tuple[Floats, Floats]:
    """Rows ``[N, K]`` and their steps ``[N]``."""
    shifts, first, informed = merged_predictions(here, predictions)
    at = facts.space(shifts)[first]
    asked = here.candidates
    own = np.arange(len(at)) < asked.measured
    own[asked.singles] = True
    own[np.setdiff1d(np.arange(len(at)), asked.pairs)] = True
    mean = at[own].mean(axis=0)
    least = NOTHING * max(_rms(mean), 1e-6)
    mean_step, steps = _steps(mean[None], least), _steps(at[own] - mean, least)
    mean_kept = _rounded(mean[None], mean_step)
    left = at - mean_kept
    rows, marked = [mean_kept, left[own]], [mean_step, _marked(steps, informed[own])]
    if len(asked.pairs):
        known = np.zeros_like(at)
        known[own] = _rounded(left[own], steps)
        sums = np.column_stack([known[asked.singles].sum(axis=1), np.ones(len(asked.pairs))])
        pairs = left[asked.pairs]
        weights = np.linalg.lstsq(sums, pairs, rcond=1e-6)[0]
        map_steps = _steps(weights, 1e-6)
        weights = _rounded(weights, map_steps)
        step = max(_rms(pairs - pairs.mean(axis=0)) / (PAIR_STEPS if len(pairs) >= MANY else FINE_PAIR_STEPS), least)
        rows += [weights, pairs - sums @ weights]
        marked += [map_steps, _marked(np.full(len(pairs), step), informed[asked.pairs])]
    return np.concatenate(rows), np.concatenate(marked)


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _steps(rows: Floats, least: float) -> Floats:
    """A step for each row: powers of two, of which a file holds many in little room."""
    rms = np.sqrt(np.mean(np.square(rows), axis=1))
    return np.asarray(2.0 ** np.floor(np.log2(np.maximum(rms / STEPS, least))))


def _rounded(rows: Floats, steps: Floats) -> Floats:
    return np.asarray(np.rint(rows / steps[:, None]) * steps[:, None])


def _marked(steps: Floats, informed: Bools) -> Floats:
    return np.where(informed, steps, -steps)
