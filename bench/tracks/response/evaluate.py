"""All metrics of a prediction, the floor and a replicate, against the whole truth and against its halves.

Most metrics look at one unit at a time. The units are taken in blocks that fit in a processor's cache, on
all cores, and within a block everything that is known of the model's prediction and of the floor is kept for all eleven
views of the truth (see :mod:`bench.tracks.response.metrics.cache`). Metrics with a gallery see all its units at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.results.tables import ALL
from bench.stats.shifts import available_cores
from bench.tracks.response.align import BLOCK_VALUES, Rows, align, cells_part, half_sample
from bench.tracks.response.metrics import METRICS, Evaluation, Metric, Sample, evaluate
from bench.tracks.response.metrics.cache import Cache, Side, empty_cache
from bench.tracks.response.truth.fields import Truth

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Guess:
    """A prediction of some units, and what is known of it.

    Attributes:
        y_hat: Predicted means ``[n, G]``.
        d_hat: Predicted shifts ``[n, G]``.
        cells: Predicted cells, where there are some.
        cache: Shared by the evaluations of all halves.
    """

    y_hat: Floats
    d_hat: Floats
    cells: Sample | None = None
    cache: dict[Side, Cache] = field(default_factory=empty_cache)


def views(
    truth: Truth, y_hat: Floats, cells: Sample | None, rows: Rows, plain: bool
) -> Iterator[tuple[str, Evaluation]]:
    """Evaluations of some units by column: ``value``, ``floor``, then ``half_...`` for each half in turn.

    Args:
        truth: Truth of the task.
        y_hat: Predicted means of all units ``[T, G]``.
        cells: Predicted cells of all units.
        rows: Units.
        plain: Leave out all but shifts: see :func:`bench.tracks.response.align.align`.
    """
    c_in, own = truth.c_in[rows], y_hat[rows]
    emitted = None if cells is None or plain else cells.subset(rows)
    floor = c_in + truth.train_delta
    guesses = {"value": Guess(own, own - c_in, emitted), "floor": Guess(floor, floor - c_in)}
    spread: Cache = {}
    for half in (None, *range(len(truth.half_y))):
        base = align(truth, own, half, emitted, rows, plain)
        here = guesses
        if half is not None:
            # The complement of half h is h ^ 1. It is handed in as a shift of the input cells, so that its delta is
            # measured from the input controls while the truth's is measured from the reference controls. The variance
            # of its cells is that of all the unit's cells.
            other = truth.half_y[half ^ 1][rows]
            # Whether the model emits cells or not: what a replicate reaches is a fact of the task.
            sample = None if plain else half_sample(truth, half ^ 1, rows)
            here = {**guesses, "replicate": Guess(other, other - c_in, sample, {**empty_cache(), "spread": spread})}
        for name, guess in here.items():
            part = base.cells if name == "value" else cells_part(truth, half, guess.cells, rows)
            case = base.beside(guess.y_hat, guess.d_hat, part, guess.cache)
            yield name if half is None else f"half_{name}", case


def columns(truth: Truth, y_hat: Floats, cells: Sample | None, rows: Rows, metrics: Sequence[Metric]) -> list[Columns]:
    """Evaluate metrics on some units.

    Returns:
        For each metric ``value``, ``degenerate``, ``floor``, ``half_value``, ``half_floor`` and ``half_replicate``
        ``[n]``; the last three are means over the halves that have a value.
    """
    # A metric with a gallery takes all units at once: what it does not ask for would be copied for nothing.
    plain = all(metric.needs == {"gallery"} for metric in metrics)
    n = len(truth.cells[rows])
    out: list[Columns] = [{} for _ in metrics]
    totals = {name: np.zeros((2, len(metrics), n)) for name in ("half_value", "half_floor", "half_replicate")}
    for name, case in views(truth, y_hat, cells, rows, plain):
        for m, metric in enumerate(metrics):
            if name in totals and "gears" in metric.needs:
                continue  # the published form knows no halves
            values, _, degenerate = evaluate(metric, case)
            if name in totals:
                known = np.isfinite(values)
                totals[name][:, m] += np.where(known, values, 0.0), known
            else:
                out[m][name] = values
            if name == "value":
                out[m]["degenerate"] = degenerate
    for name, (total, count) in totals.items():
        means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        for m, found in enumerate(out):
            found[name] = means[m]
    return out


def _by_context(
    truth: Truth, y_hat: Floats, cells: Sample | None, rows: NDArray[np.int64], metrics: Sequence[Metric]
) -> list[Columns]:
    """:func:`columns` of metrics with a gallery, which is made of those of the units that share a context."""
    context = truth.context[rows]
    present = np.unique(context)
    if len(present) == 1:
        whole = slice(0, len(rows)) if len(rows) == len(truth.context) else rows
        return columns(truth, y_hat, cells, whole, metrics)
    order = [np.flatnonzero(context == c) for c in present.tolist()]
    parts = [columns(truth, y_hat, cells, rows[mine], metrics) for mine in order]
    back = np.argsort(np.concatenate(order))
    return [
        {name: np.concatenate([p[m][name] for p in parts])[back] for name in parts[0][m]} for m in range(len(metrics))
    ]


def evaluate_all(
    truth: Truth, y_hat: Floats, cells: Sample | None, galleries: Mapping[str, NDArray[np.int64]]
) -> dict[tuple[str, str], Columns]:
    """Evaluate every metric on all units, and those with a gallery on each gallery too.

    A gallery holds units of one context: which perturbation it is must be told within the unit's own context, where
    telling contexts apart is worth nothing.

    Args:
        truth: Truth of the task.
        y_hat: Predicted means ``[T, G]``.
        cells: Predicted cells.
        galleries: Positions of the units of each scope but ``all``; the units of each context are a gallery.

    Returns:
        :func:`columns` by metric and scope.
    """
    units, genes = truth.y.shape
    single = [metric for metric in METRICS.values() if "gallery" not in metric.needs]
    several = [metric for metric in METRICS.values() if "gallery" in metric.needs]
    size = max(1, BLOCK_VALUES // max(genes, 1))
    blocks = [slice(begin, min(begin + size, units)) for begin in range(0, units, size)]
    workers = min(len(blocks), available_cores())
    with ThreadPoolExecutor(max(1, workers)) as pool:
        parts = list(pool.map(lambda rows: columns(truth, y_hat, cells, rows, single), blocks))
    out: dict[tuple[str, str], Columns] = {}
    for m, metric in enumerate(single):
        out[metric.name, ALL] = {name: np.concatenate([part[m][name] for part in parts]) for name in parts[0][m]}
    everything = _by_context(truth, y_hat, cells, np.arange(units), several)
    for scope, rows in galleries.items():
        # A gallery of all units is the whole one.
        found = everything if len(rows) == units else _by_context(truth, y_hat, cells, rows, several)
        out.update({(metric.name, scope): part for metric, part in zip(several, found, strict=True)})
    out.update({(metric.name, ALL): part for metric, part in zip(several, everything, strict=True)})
    return out
