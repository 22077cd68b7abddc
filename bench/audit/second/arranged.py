"""How an embedding lies in space, a second time: silhouettes, neighbours, effective rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.embedded import Floats

Rows = NDArray[np.int64]

#: Cells of a draw, and draws, where there are more; neighbours; cosines nearer than this are tied.
MOST, DRAWS, NEIGHBOURS, TIE = 5_000, 5, 15, 1e-10
_BLOCK = 1_000


def silhouettes(z: Floats, label: Rows) -> Floats:
    """Of each cell (b - a) / max(a, b) of mean cosine distances to its own and to the nearest other label ``[N]``."""
    n, k = len(z), int(label.max()) + 1
    size = np.bincount(label, minlength=k).astype(np.float64)
    member = np.zeros((n, k))
    member[np.arange(n), label] = 1.0
    out = np.zeros(n)
    for begin in range(0, n, _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, n))
        distance = 1.0 - z[rows] @ z.T
        distance[rows - begin, rows] = 0.0
        sums = np.where(distance < TIE, 0.0, distance) @ member
        own = sums[rows - begin, label[rows]] / np.maximum(size[label[rows]] - 1.0, 1.0)
        others = sums / size
        others[rows - begin, label[rows]] = np.inf
        nearest = others.min(axis=1)
        larger = np.maximum(own, nearest)
        ratio = np.where(larger > 0, (nearest - own) / np.where(larger > 0, larger, 1.0), 0.0)
        out[rows] = np.where(size[label[rows]] > 1, ratio, 0.0)
    return out


def silhouettes_of(z: Floats, label: Rows, seed: int) -> Floats:
    """Mean over each label's cells, and over draws of cells where there are many ``[K]``; NaN of a label alone."""
    k = int(label.max()) + 1
    rng = np.random.default_rng([seed, 0xB1])
    whole = [np.arange(len(z))]
    draws = whole if len(z) <= MOST else [np.sort(rng.choice(len(z), MOST, replace=False)) for _ in range(DRAWS)]
    total, times = np.zeros(k), np.zeros(k)
    for rows in draws:
        there, code = np.unique(label[rows], return_inverse=True)
        if len(there) > 1:
            each = silhouettes(z[rows], code)
            total[there] += [each[code == i].mean() for i in range(len(there))]
            times[there] += 1
    return np.asarray(np.where(times > 0, total / np.maximum(times, 1), np.nan))


def purity(z: Floats, unit: Rows, batch: Rows, seed: int) -> tuple[Floats, Floats]:
    """Share of a cell's nearest that are of its unit, and of all that could be: means of each unit's cells ``[U]``."""
    n_units = int(unit.max()) + 1
    if len(z) > MOST:
        rows = np.sort(np.random.default_rng([seed, 0xB2]).choice(len(z), MOST, replace=False))
        z, unit, batch = z[rows], unit[rows], batch[rows]
    one_batch = bool((batch == batch[0]).all())
    near, by_chance = np.full(len(z), np.nan), np.full(len(z), np.nan)
    for begin in range(0, len(z), _BLOCK):
        similarity = z[begin : begin + _BLOCK] @ z.T
        for i, row in enumerate(similarity, begin):
            others = np.arange(len(z)) != i if one_batch else batch != batch[i]
            score, same = row[others], unit[others] == unit[i]
            if not len(score):
                continue
            most = min(NEIGHBOURS, len(score))
            last = np.partition(score, len(score) - most)[len(score) - most]
            before, level = score > last + TIE, np.abs(score - last) <= TIE
            left = most - before.sum()
            near[i] = ((same & before).sum() + left * same[level].mean()) / most
            by_chance[i] = same.mean()
    return _by_unit(near, unit, n_units), _by_unit(by_chance, unit, n_units)


def _by_unit(values: Floats, unit: Rows, n: int) -> Floats:
    found = [values[(unit == one) & np.isfinite(values)] for one in range(n)]
    return np.array([each.mean() if len(each) else np.nan for each in found])


def effective_rank(z: Floats) -> float | None:
    """Exponential of the entropy of the singular values' shares; ``None`` of an embedding of zeros."""
    size = np.linalg.svd(z if len(z) < z.shape[1] else np.linalg.qr(z, mode="r"), compute_uv=False)
    if not size.sum() > 0:
        return None
    share = size[size > 0] / size.sum()
    return float(np.exp((share * np.log(1 / share)).sum()))
