"""Average precision of profiles that look for their like, where equal similarities count by their mean over all orders.

Pairs are those of copairs, and so is the average precision wherever similarities differ. Where they do not, copairs
puts the right ones first: a constant embedding would be perfect. Here it is exactly at chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.typing import Floats

Pairs = NDArray[np.int64]
Ints = NDArray[np.int64]
#: Numbers that a block of pairs may hold at once: bounds memory.
_BLOCK = 8_000_000


@dataclass(frozen=True, eq=False)
class Precision:
    """Average precision of each query.

    Attributes:
        query: Row of each query ``[Q]``.
        group: What it looked for: number of a label; 0 where there is one kind of pairs ``[Q]``.
        ap: Average precision ``[Q]``.
        n_pos: Positive pairs of each ``[Q]``.
        n_total: All pairs of each ``[Q]``.
    """

    query: Ints
    group: Ints
    ap: Floats
    n_pos: Ints
    n_total: Ints

    @property
    def chance(self) -> Floats:
        """Expected average precision of a random order ``[Q]``."""
        return expected(self.n_pos, self.n_total)

    @property
    def normalised(self) -> Floats:
        """0 at chance, 1 where all positives come first ``[Q]``."""
        return (self.ap - self.chance) / (1 - self.chance)

    def frame(self, labels: NDArray[np.object_]) -> pd.DataFrame:
        """One row per query, as copairs calls its columns.

        Args:
            labels: Label of each query ``[Q]``.
        """
        return pd.DataFrame(
            {
                "row": self.query,
                "label": labels,
                "average_precision": self.ap,
                "normalized_average_precision": self.normalised,
                "n_pos_pairs": self.n_pos,
                "n_total_pairs": self.n_total,
            }
        )


def expected(n_pos: Ints, n_total: Ints) -> Floats:
    """Expected average precision of a random order of ``n_total`` entries with ``n_pos`` right ones.

    ``[(M - 1)/(L - 1) (L - H_L) + H_L] / L`` with ``H_L = 1 + 1/2 + ... + 1/L``.

    Source: Bestgen 2015, as copairs has it.
    """
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, max(int(n_total.max(initial=1)), 1) + 1))])
    length, h = n_total.astype(np.float64), harmonic[n_total]
    return np.asarray(((n_pos - 1) / np.maximum(length - 1, 1) * (length - h) + h) / length)


def tied_average_precision(
    query: Ints, similarity: NDArray[np.float32], positive: NDArray[np.bool_]
) -> tuple[Ints, Floats, Ints, Ints]:
    """Average precision of each query, expected over all orders of what is equally similar.

    Within a run of ``n`` equal entries with ``r`` right ones, after ``N`` entries with ``R`` right ones, the one at
    place ``i`` is right with probability ``r/n``, and then has ``R + 1 + (i - 1)(r - 1)/(n - 1)`` right ones up to it.

    Args:
        query: Whose entry each is ``[E]``.
        similarity: How similar it is to the query ``[E]``.
        positive: Whether it is of the query's kind ``[E]``.

    Returns:
        The queries in order ``[Q]``, average precision, positive pairs and all pairs of each. A query without positives
        has no average precision: NaN.

    Source: McSherry and Najork 2008.
    """
    order = np.lexsort((-similarity, query))
    query, similarity, positive = query[order], similarity[order], positive[order]
    starts = np.flatnonzero(np.r_[True, query[1:] != query[:-1]]) if len(query) else np.zeros(0, np.int64)
    tied = np.flatnonzero(np.r_[True, (query[1:] != query[:-1]) | (similarity[1:] != similarity[:-1])])
    if not len(starts):
        return query, np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64)
    size = np.diff(np.r_[tied, len(query)])
    right = np.add.reduceat(positive.astype(np.int64), tied)
    total = np.diff(np.r_[starts, len(query)])
    n_pos = np.add.reduceat(positive.astype(np.int64), starts)
    first = np.repeat(starts, total)  # of the query of each entry
    before = np.repeat(np.cumsum(n_pos) - n_pos, total)
    run_right_before = (np.cumsum(right) - right)[:, None]
    spread = np.repeat(np.arange(len(tied)), size)
    place = np.arange(len(query)) - first + 1.0
    within = np.arange(len(query)) - tied[spread]  # i - 1
    n, r = size[spread], right[spread]
    so_far = run_right_before[spread, 0] - before
    precision = (so_far + 1 + within * (r - 1) / np.maximum(n - 1, 1)) / place
    summed = np.add.reduceat(np.where(r > 0, r / n * precision, 0.0), starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        ap = np.where(n_pos > 0, summed / n_pos, np.nan)
    return query[starts], ap, n_pos, total


def cosines(x: Floats, pairs: Pairs, absolute: bool = False) -> NDArray[np.float32]:
    """Cosine of each pair of rows ``[P]``; of a row without length 0. To float32, as copairs has them.

    Args:
        x: Profiles ``[N, F]``.
        pairs: Rows ``[P, 2]``.
        absolute: Whether opposite directions are alike.
    """
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    unit = x / np.where(norm > 1e-12, norm, np.inf)
    out = np.empty(len(pairs), dtype=np.float32)
    step = max(1, _BLOCK // max(x.shape[1], 1))
    for i in range(0, len(pairs), step):
        a, b = pairs[i : i + step].T
        out[i : i + step] = np.einsum("ij,ij->i", unit[a], unit[b])
    return np.abs(out) if absolute else out


def rank(x: Floats, positives: list[Pairs], negatives: Pairs, absolute: bool = False) -> Precision:
    """Let each row of a positive pair look for its partners among these and its negative partners.

    Args:
        x: Profiles ``[N, F]``.
        positives: Pairs ``[P, 2]`` of each label; a row may be in several.
        negatives: Pairs ``[M, 2]``, the same for all labels.
        absolute: Whether opposite directions are alike.

    Returns:
        Of every query with a positive and a negative partner; without negatives nothing could be wrong.
    """
    n_labels = len(positives)
    joined = np.concatenate(positives) if positives else np.zeros((0, 2), np.int64)
    label = np.repeat(np.arange(n_labels), [len(pairs) for pairs in positives])
    query = np.concatenate([joined[:, 0], joined[:, 1]])
    key = np.tile(label, 2) * len(x) + query
    similarity = np.tile(cosines(x, joined, absolute), 2)
    # Negative entries of a row are the same whatever it looks for: listed once, repeated for each label of the row.
    wrong = np.concatenate([negatives[:, 0], negatives[:, 1]])
    order = np.argsort(wrong, kind="stable")
    wrong_similarity = np.tile(cosines(x, negatives, absolute), 2)[order]
    count = np.bincount(wrong, minlength=len(x))
    start = np.cumsum(count) - count
    keys = np.unique(key)
    rows = keys % len(x)
    keys, rows = keys[count[rows] > 0], rows[count[rows] > 0]
    many = count[rows]
    begin = np.cumsum(many) - many
    places = np.repeat(start[rows] - begin, many) + np.arange(many.sum())
    known = np.isin(key, keys)
    found, ap, n_pos, n_total = tied_average_precision(
        np.concatenate([key[known], np.repeat(keys, many)]),
        np.concatenate([similarity[known], wrong_similarity[places]]),
        np.concatenate([np.ones(int(known.sum()), np.bool_), np.zeros(len(places), np.bool_)]),
    )
    return Precision(found % len(x), found // len(x), ap, n_pos, n_total)
