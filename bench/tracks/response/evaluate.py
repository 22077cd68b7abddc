"""All metrics of a prediction against all cells, and of a replicate against halves.

Most metrics look at one unit at a time. The units are taken in blocks that fit in a processor's cache, on all cores;
what is known of a truth or a prediction is kept while a block lasts (see :mod:`bench.tracks.response.metrics.cache`).
Metrics with a gallery see all its units at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.results.tables import ALL
from bench.stats.shifts import available_cores
from bench.tracks.response.align import BLOCK_VALUES, EVERY, Rows, align, cells_part, half_sample
from bench.tracks.response.families import (
    EPISTASIS,
    IDENTITY,
    Halves,
    answer_of,
    half_scores,
    identity_draws,
    mean_known,
)
from bench.tracks.response.metrics import METRICS, Metric, Sample, evaluate
from bench.tracks.response.metrics.cache import empty_cache
from bench.tracks.response.metrics.functional import bounded
from bench.tracks.response.metrics.registry import GALLERIES
from bench.tracks.response.truth.fields import Truth

Columns: TypeAlias = dict[str, NDArray[Any]]
#: Looks at some units with some metrics: columns for each of these.
View: TypeAlias = Callable[[Rows, Sequence[Metric]], list[Columns]]
ColumnsByScope: TypeAlias = dict[tuple[str, str], Columns]


def _plain(metrics: Sequence[Metric]) -> bool:
    """Whether shifts are all that is asked for; a gallery takes all units at once, and would copy the rest in vain."""
    return all(metric.needs <= GALLERIES and metric.needs for metric in metrics)


def values_of(truth: Truth, y_hat: Floats, cells: Sample | None, states: NDArray[Any] | None = None) -> View:
    """Look at a prediction beside all cells: ``value``, ``degenerate`` and ``influence``.

    Args:
        truth: Truth of the task.
        y_hat: Predicted means of all units ``[T, G]``.
        cells: Predicted cells of all units.
        states: Predicted shifts of all units by state ``[T, K, G]``.
    """

    def view(rows: Rows, metrics: Sequence[Metric]) -> list[Columns]:
        plain = _plain(metrics)
        some, stated = None if cells is None or plain else cells.subset(rows), None if states is None else states[rows]
        case = align(truth, y_hat[rows], None, some, rows, plain, stated)
        out: list[Columns] = []
        for metric in metrics:
            value, _, degenerate = evaluate(metric, case)
            moved = np.full(len(value), np.nan) if metric.influence is None else metric.influence(case)
            influence = np.where(np.isfinite(value), moved, np.nan)
            out.append({"value": value, "degenerate": degenerate, "influence": influence})
        return out

    return view


def against_halves(truth: Truth, y_hat: Floats) -> View:
    """Look at a prediction beside each half: ``half_value``, the mean over the halves that have a value."""

    def view(rows: Rows, metrics: Sequence[Metric]) -> list[Columns]:
        cases, known = [], empty_cache()
        for half in range(len(truth.half_y)):
            case = align(truth, bounded(y_hat[rows]), half, None, rows, _plain(metrics))
            cases.append(case.beside(case.y_hat, case.d_hat, case.cells, known))
        return [{"half_value": mean_known(np.array([evaluate(m, case).values for case in cases]))} for m in metrics]

    return view


def replicates(truth: Truth) -> View:
    """Look at one half as a prediction of the other: ``half_replicate``, the mean over halves.

    The complement of half h is h ^ 1. Its shift is measured from controls that models see (``truth.c_rep``), while the
    truth's is measured from the reference controls. The variance of its cells is that of all the unit's cells. The
    published forms, which share their controls, know no halves.
    """

    def view(rows: Rows, metrics: Sequence[Metric]) -> list[Columns]:
        plain, spread = _plain(metrics), empty_cache()["spread"]
        values = np.full((len(truth.half_y), len(metrics), len(truth.cells[rows])), np.nan)
        for half in range(len(truth.half_y)):
            other = truth.replicate(half)[rows]
            sample = None if plain else half_sample(truth, half ^ 1, rows)
            case = align(truth, other, half, None, rows, plain, truth.state_half[half ^ 1][rows])
            cells = None if plain else cells_part(truth, half, sample, rows)
            case = case.beside(case.y_hat, case.d_hat, cells, {**empty_cache(), "spread": spread})
            for m, metric in enumerate(metrics):
                if "gears" not in metric.needs:
                    values[half, m] = evaluate(metric, case).values
        return [{"half_replicate": mean} for mean in mean_known(values)]

    return view


def scopes(truth: Truth) -> dict[str, NDArray[np.int64]]:
    """Units of ``all`` and of each subgroup."""
    group = np.array(truth.subgroup, dtype=np.str_)
    names = sorted({name for name in truth.subgroup if name})
    return {ALL: np.arange(len(group)), **{name: np.flatnonzero(group == name) for name in names}}


def galleries(truth: Truth, rows: NDArray[np.int64], kind: str) -> list[NDArray[np.int64]]:
    """Cut units in galleries: those of one context, of one context and stratum, or all.

    Which perturbation it is must be told within the unit's own context and number of perturbed genes (of a compound:
    dose and time), where telling these apart is worth nothing.
    """
    if kind == "crossed":
        return [rows]
    names, stratum = np.unique(truth.stratum, return_inverse=True)
    key = truth.context[rows] * (len(names) + 1) + (stratum[rows] if kind == "peers" else 0)
    return [rows[key == k] for k in np.unique(key).tolist()]


def over_units(truth: Truth, view: View, metrics: Iterable[Metric] = METRICS.values()) -> ColumnsByScope:
    """Look at all units with all metrics, and with those that have a gallery at each subgroup too.

    Returns:
        Columns ``[n]`` by metric and scope.
    """
    chosen = list(metrics)
    units, genes = truth.y.shape
    out: ColumnsByScope = {}
    if single := [metric for metric in chosen if not metric.needs & GALLERIES]:
        size = max(1, BLOCK_VALUES // max(genes, 1))
        blocks = [slice(begin, min(begin + size, units)) for begin in range(0, units, size)]
        with ThreadPoolExecutor(max(1, min(len(blocks), available_cores()))) as pool:
            parts = list(pool.map(lambda rows: view(rows, single), blocks))
        for m, metric in enumerate(single):
            out[metric.name, ALL] = {name: np.concatenate([part[m][name] for part in parts]) for name in parts[0][m]}
    for kind in sorted(GALLERIES):
        several = [metric for metric in chosen if kind in metric.needs]
        seen: dict[bytes, list[Columns]] = {}  # a subgroup may be a gallery of the whole
        for scope, rows in scopes(truth).items() if several else ():
            found = _joined(truth, view, several, rows, kind, seen)
            out |= {(metric.name, scope): part for metric, part in zip(several, found, strict=True)}
    return out


def _joined(
    truth: Truth,
    view: View,
    metrics: Sequence[Metric],
    rows: NDArray[np.int64],
    kind: str,
    seen: dict[bytes, list[Columns]],
) -> list[Columns]:
    """Look at some units gallery by gallery; columns in the order of ``rows``."""
    order = galleries(truth, rows, kind)
    for mine in order:
        if mine.tobytes() not in seen:
            seen[mine.tobytes()] = view(EVERY if len(mine) == len(truth.context) else mine, metrics)
    back = np.argsort(np.concatenate(order))
    parts = [seen[mine.tobytes()] for mine in order]
    return [
        {name: np.concatenate([part[m][name] for part in parts])[back] for name in parts[0][m]}
        for m in range(len(metrics))
    ]


def half_values(truth: Truth, y_hat: Floats, halves: Halves) -> dict[tuple[str, str], Floats]:
    """Mean over halves of the metrics that stand for families ``[n]``, by metric and scope."""
    whole = align(truth, y_hat)
    found = {(name, ALL): values for name, values in half_scores(answer_of(whole), halves).items()}
    # Of epistasis there is none, at the price of a look at all halves, where no double of kept singles is resolved.
    others = [IDENTITY, *([EPISTASIS] if truth.kept_resolved.any() else [])]
    looked = over_units(truth, against_halves(truth, y_hat), [METRICS[name] for name in others])
    return {**found, **{key: part["half_value"] for key, part in looked.items()}}


def moved_identity(truth: Truth, y_hat: Floats, half: int | None = None) -> dict[str, Floats]:
    """Identity under each bootstrap of the reference controls, by scope ``[B, n]``; undefined ones count .5.

    Args:
        truth: Truth of the task.
        y_hat: Predicted means ``[T, G]``.
        half: Index of a half; absent = against all cells.
    """

    def view(rows: Rows, metrics: Sequence[Metric]) -> list[Columns]:
        case = align(truth, y_hat[rows], half, None, rows, True)
        moved = truth.c_ref_draws[truth.context[rows][0]]
        return [{"draws": identity_draws(case, moved).T} for _ in metrics]

    found = over_units(truth, view, [METRICS[IDENTITY]])
    return {scope: part["draws"].T for (_, scope), part in found.items()}
