"""Whether cells find the other half of their own unit, a second time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.audit.second import places
from bench.audit.second.embedded import Floats, unit_length

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]
Generator = np.random.Generator
Values = dict[str, Floats]

#: Halvings; cells of a query beside single cells; cells on either side where batches are halved.
HALVINGS, QUERY, EITHER_SIDE = 20, 20, 5
_MEASURES = {"top1": "hit1", "top5": "hit5", "mrr": "mrr", "rank": "rank"}


def mixed(label: Rows, batch: Rows, seed: int) -> Rows:
    """Labels permuted within each batch ``[N]``."""
    draws = np.random.default_rng([seed, 0xD3]).random(len(label))
    out = label.copy()
    for one in np.unique(batch).tolist():
        rows = np.flatnonzero(batch == one)
        out[rows] = label[rows[np.argsort(draws[rows])]]
    return out


def halved(unit: Rows, batch: Rows, rng: Generator) -> Bools:
    """Who asks: every other cell of each unit along its batches, in random order within a batch ``[N]``."""
    draws, first = rng.random(len(unit)), rng.integers(0, 2, int(unit.max()) + 1)
    asks = np.zeros(len(unit), dtype=np.bool_)
    for one, begin in enumerate(first.tolist()):
        rows = sorted(np.flatnonzero(unit == one).tolist(), key=lambda i: (int(batch[i]), float(draws[i])))
        asks[rows[begin::2]] = True
    return asks


def bag(unit: Rows, among: Bools, most: int, rng: Generator) -> list[Rows]:
    """Random cells of each unit, at most so many."""
    rows = np.flatnonzero(among)
    draws = rng.random(len(rows))
    found = []
    for one in range(int(unit.max()) + 1):
        mine = np.flatnonzero(unit[rows] == one)
        found.append(rows[mine[np.argsort(draws[mine])[:most]]])
    return found


def means(z: Floats, groups: list[Rows]) -> Floats:
    """Mean of each group's cells ``[groups, D]``."""
    return np.stack([z[rows].mean(axis=0) for rows in groups])


def members(unit: Rows, among: Bools) -> list[Rows]:
    """Cells of each unit among some."""
    return [np.flatnonzero(among & (unit == one)) for one in range(int(unit.max()) + 1)]


def measured(scores: Floats, own: Rows) -> Values:
    """Where the right entry of each query stands ``[Q]``."""
    above, tied = places.counted_of(scores, own)
    found = places.measures(above, tied, scores.shape[1])
    return {name: found[of] for name, of in _MEASURES.items()}


def chance(n: int) -> dict[str, float]:
    """What a random order of n entries gives."""
    every = np.arange(1, n + 1)
    return {"top1": 1 / n, "top5": float((every <= 5).mean()), "mrr": float((1 / every).mean()), "rank": 0.5}


def _once(z: Floats, unit: Rows, asks: Bools, rng: Generator) -> Values:
    """One halving: single cells and means of some look for the means of the others ``[U]``."""
    n, found = int(unit.max()) + 1, Values()
    entries = unit_length(means(z, members(unit, ~asks)))
    single = np.flatnonzero(asks)
    by_cell = measured(z[single] @ entries.T, unit[single])
    for name, each in by_cell.items():
        middle = np.median if name == "rank" else np.mean
        found[f"{name}_1"] = np.array([middle(each[unit[single] == one]) for one in range(n)])
    queries = unit_length(means(z, bag(unit, asks, QUERY, rng)))
    found |= {f"{name}_{QUERY}": each for name, each in measured(queries @ entries.T, np.arange(n)).items()}
    return found | {f"{name}_chance": np.full(n, value) for name, value in chance(n).items()}


def by_halves(z: Floats, unit: Rows, batch: Rows, seed: int) -> Values:
    """Mean over random halvings of each unit ``[U]``."""
    rng = np.random.default_rng([seed, 0xA1])
    rounds = [_once(z, unit, halved(unit, batch, rng), rng) for _ in range(HALVINGS)]
    return {name: np.mean([one[name] for one in rounds], axis=0) for name in rounds[0]}


def across_batches(z: Floats, unit: Rows, batch: Rows, seed: int) -> tuple[Values, float]:
    """The same where batches are halved, and the mean number of units that take part; both empty where none can.

    A unit takes part in halvings that leave it some cells on either side, where another does too.
    """
    rng, there, n = np.random.default_rng([seed, 0xA2]), np.unique(batch), int(unit.max()) + 1
    rounds = list[Values]()
    for _ in range(HALVINGS if len(there) > 1 else 0):
        asks = np.isin(batch, rng.permutation(there)[: len(there) // 2])
        sizes = [(int((asks & (unit == one)).sum()), int((~asks & (unit == one)).sum())) for one in range(n)]
        part = np.array([min(both) >= EITHER_SIDE for both in sizes])
        if part.sum() < 2:
            continue
        mine = part[unit]
        once = _once(z[mine], (np.cumsum(part) - 1)[unit[mine]], asks[mine], rng)
        spread = {name: np.full(n, np.nan) for name in once}
        for name, each in once.items():
            spread[name][part] = each
        rounds.append(spread)
    if not rounds:
        return {}, 0.0
    stacked = {name: np.stack([one[name] for one in rounds]) for name in rounds[0]}
    taking = np.isfinite(stacked["rank_chance"])
    some = taking.any(axis=0)
    out = {name: np.full(n, np.nan) for name in stacked}
    for name, every in stacked.items():
        out[name][some] = np.nanmean(every[:, some], axis=0)
    return out, float(taking.sum() / len(rounds))
