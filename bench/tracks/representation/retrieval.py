"""Half-split prototype retrieval: does a mean of cells find the other half of its own unit?

Source: this benchmark. The CellJEPA audit prints such numbers without defining them: compare the shape only.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.ndimage import median

from bench.core.typing import Floats
from bench.stats.embedding import normalise
from bench.stats.geometry import group_means

Codes = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Cells averaged in a query.
QUERY_CELLS = (1, 20)
#: Random halvings that are averaged.
SPLITS = 20
#: Cells a unit needs on either side when halves are made of whole batches.
MIN_SIDE = 5
#: Cosines closer than this are tied.
TIE = 1e-10
MEASURES = ("top1", "top5", "mrr", "rank")
#: What a retrieval gives of each unit.
COLUMNS = tuple(f"{measure}_{n}" for n in (*QUERY_CELLS, "chance") for measure in MEASURES)


def half_split(unit: Codes, batch: Codes, rng: np.random.Generator) -> Bools:
    """Halve each unit at random, and each of its batches, up to one cell ``[N]``: true = query side."""
    order = np.lexsort((rng.random(len(unit)), batch, unit))
    phase = rng.integers(0, 2, unit.max() + 1)
    side = np.empty(len(unit), dtype=bool)
    # Every other cell along (unit, batch), where a unit begins on either side by chance.
    side[order] = (_position(unit[order]) + phase[unit[order]]) % 2 == 0
    return side


def batch_split(batch: Codes, rng: np.random.Generator) -> Bools:
    """Put half of the batches (rounded down) on the query side ``[N]``; the same batches for all units.

    So no gallery entry shares a batch with the query, and batch can neither help nor hinder.
    """
    batches = np.unique(batch)
    return np.isin(batch, rng.permutation(batches)[: len(batches) // 2])


def chance(n: int) -> dict[str, float]:
    """Expected measures of a random order of ``n`` gallery entries: 1/n, 5/n, H_n/n, 1/2."""
    return {
        "top1": 1 / n,
        "top5": min(1.0, 5 / n),
        "mrr": float((1 / np.arange(1, n + 1)).sum() / n),
        "rank": 0.5,
    }


def rank_measures(scores: Floats, target: Codes) -> dict[str, Floats]:
    """Measure where the target stands, in expectation over random orders of tied entries.

    Args:
        scores: Similarities ``[Q, C]``.
        target: Right entry of each query ``[Q]``.

    Returns:
        ``top1``, ``top5``, ``mrr`` and ``rank`` (0 = first, 1 = last), each ``[Q]``.
    """
    own = scores[np.arange(len(target)), target][:, None]
    above = (scores > own + TIE).sum(axis=1)
    tied = (np.abs(scores - own) <= TIE).sum(axis=1)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, scores.shape[1] + 1))])
    return {
        "top1": np.clip(1 - above, 0, tied) / tied,
        "top5": np.clip(5 - above, 0, tied) / tied,
        "mrr": (harmonic[above + tied] - harmonic[above]) / tied,
        "rank": (above + (tied - 1) / 2) / max(1, scores.shape[1] - 1),
    }


def retrieve(z: Floats, unit: Codes, query: Bools, n_query: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Retrieve each unit once its cells are cut in two.

    Args:
        z: Unit-length embeddings ``[N, D]``.
        unit: ``0 .. U-1`` of each cell, each with cells on both sides ``[N]``.
        query: Cells of the query side ``[N]``.
        n_query: Cells in a query (fewer where a side has fewer); with 1, each cell of the side is a query.
        rng: Draws the queries.

    Returns:
        Each of :data:`MEASURES` ``[U]``: mean over a unit's queries; of ``rank`` their median.
    """
    n = int(unit.max()) + 1
    gallery = normalise(unit_means(z, unit, ~query, n))
    if n_query == 1:
        target, queries = unit[query], z[query]
    else:
        target = np.arange(n)
        queries = normalise(unit_means(z, unit, subsample_units(unit, query, n_query, rng), n))
    measures = rank_measures(queries @ gallery.T, target)
    out = {name: group_means(values, target, n) for name, values in measures.items()}
    out["rank"] = np.asarray(median(measures["rank"], target, np.arange(n)), dtype=np.float64)
    return out


def half_retrieval(z: Floats, unit: Codes, batch: Codes, seed: int) -> dict[str, Floats]:
    """Retrieve over random halves, stratified by batch, averaged over :data:`SPLITS`.

    Args:
        z: Unit-length embeddings ``[N, D]``.
        unit: ``0 .. U-1`` of each cell ``[N]``.
        batch: Batch of each cell ``[N]``.
        seed: Seed of halves and queries.

    Returns:
        ``<measure>_<cells in a query>`` and ``<measure>_chance``, each ``[U]``.
    """
    rng = np.random.default_rng([seed, 0xA1])
    sums: dict[str, Floats] = {}
    for _ in range(SPLITS):
        side = half_split(unit, batch, rng)
        for name, values in _both(z, unit, side, rng).items():
            sums[name] = sums.get(name, 0.0) + values
    return {name: total / SPLITS for name, total in sums.items()}


def cross_batch_retrieval(z: Floats, unit: Codes, batch: Codes, seed: int) -> dict[str, Floats] | None:
    """Retrieve with queries and gallery from disjoint batches; arguments and result as of :func:`half_retrieval`.

    A unit takes part in the halvings of the batches that leave it :data:`MIN_SIDE` cells on both sides. Its values,
    chance included, are averaged over these; NaN where there is none.

    Returns:
        ``None`` with one batch, or where no halving leaves two units. ``present``: the share of the used halvings in
        which a unit took part ``[U]``; its sum is the mean number of units in a halving.
    """
    if len(np.unique(batch)) < 2:
        return None
    rng = np.random.default_rng([seed, 0xA2])
    n = int(unit.max()) + 1
    sums: dict[str, Floats] = {}
    times, used = np.zeros(n), 0
    for _ in range(SPLITS):
        side = batch_split(batch, rng)
        cells = np.minimum(np.bincount(unit[side], minlength=n), np.bincount(unit[~side], minlength=n))
        enough = cells >= MIN_SIDE
        if enough.sum() < 2:
            continue
        keep = enough[unit]
        codes = np.unique(unit[keep], return_inverse=True)[1]
        for name, values in _both(z[keep], codes, side[keep], rng).items():
            sums.setdefault(name, np.zeros(n))[enough] += values
        times += enough
        used += 1
    if not used:
        return None
    with np.errstate(invalid="ignore"):
        return {**{name: total / times for name, total in sums.items()}, "present": times / used}


def _both(z: Floats, unit: Codes, side: Bools, rng: np.random.Generator) -> dict[str, Floats]:
    n = int(unit.max()) + 1
    found = {
        f"{name}_{n_query}": value
        for n_query in QUERY_CELLS
        for name, value in retrieve(z, unit, side, n_query, rng).items()
    }
    return {**found, **{f"{name}_chance": np.full(n, value) for name, value in chance(n).items()}}


def _position(ordered: Codes) -> Codes:
    """Position of each element within its run of equal codes ``[N]``, for sorted codes."""
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return np.arange(len(ordered)) - np.repeat(starts, np.diff([*starts, len(ordered)]))


def subsample_units(unit: Codes, among: Bools, most: int, rng: np.random.Generator) -> Bools:
    """At most ``most`` random cells of each unit ``[N]``."""
    rows = np.flatnonzero(among)
    rows = rows[np.lexsort((rng.random(len(rows)), unit[rows]))]
    chosen = np.zeros(len(unit), dtype=bool)
    chosen[rows[_position(unit[rows]) < most]] = True
    return chosen


def unit_means(z: Floats, unit: Codes, among: Bools, n: int) -> Floats:
    """Mean embedding of each unit over some of the cells ``[U, D]``."""
    rows = np.flatnonzero(among)
    pick = sp.csr_matrix((np.ones(len(rows)), (unit[rows], rows)), shape=(n, len(z)))
    sums: Floats = np.asarray(pick @ z)
    return sums / np.bincount(unit[rows], minlength=n)[:, None]
