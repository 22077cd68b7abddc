"""Genes in order: ranks, the top k and average precision as pure functions of one sort of each row.

Rows are conditions [T], columns genes [G]. Equal values share their places throughout: no number here depends on the
order of the genes.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.tracks.response.metrics.functional import BoolTG, FloatT, FloatTG, correlate, divide, standardise

IntTG: TypeAlias = NDArray[np.intp]  # [T, G]
IntT: TypeAlias = NDArray[np.intp]  # [T]
Flat: TypeAlias = NDArray[np.intp]


class Ranking(NamedTuple):
    """The masked genes of each row from the lowest to the highest value.

    Args:
        genes: [T, G] gene at each place; those outside the mask come last.
        begins: [R] places, counted through all rows, at which a run of equal values begins; every row begins one.
        counts: [T] masked genes.
    """

    genes: IntTG
    begins: Flat
    counts: IntT


def order(x: FloatTG, mask: BoolTG) -> Ranking:
    """Sort the masked genes of each row; what stands in the others (NaN included) does not matter."""
    values = np.where(mask, x, np.inf)  # genes outside come last and move no other place
    genes = np.argsort(values, axis=1)  # not stable, which is five times as fast: equal values share their places
    ordered = np.take_along_axis(values, genes, axis=1)
    begin = np.ones(values.shape, dtype=np.bool_)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=begin[:, 1:])
    return Ranking(genes, np.flatnonzero(begin), mask.sum(axis=1))


def average_ranks(by: Ranking, mask: BoolTG) -> FloatTG:
    """Ranks 1..n of the masked genes of each row, equal values sharing their mean rank, [T, G]; 0 elsewhere.

    Same as `scipy.stats.rankdata(method="average")` of the masked genes, for all rows at once.
    """
    shape = by.genes.shape
    lengths = np.diff(by.begins, append=by.genes.size)
    mean_place = by.begins % max(shape[1], 1) + (lengths + 1) / 2.0
    ranks = np.empty(shape)
    np.put_along_axis(ranks, by.genes, np.repeat(mean_place, lengths).reshape(shape), axis=1)
    ranks[~mask] = 0.0
    return ranks


def signed_ranks(x: FloatTG, by: Ranking, mask: BoolTG) -> FloatTG:
    """sign(x) times the average rank of abs x among the masked genes of each row, [T, G]; 0 where x is 0 or masked.

    The reverse of x has the reverse ranks, exactly; x of one sign and size everywhere is constant.

    Args:
        x: [T, G].
        by: Its genes in the order of abs x.
        mask: [T, G].
    """
    return np.sign(x) * average_ranks(by, mask)


def rank_unit(x: FloatTG, mask: BoolTG) -> FloatTG:
    """Average ranks, standardised to correlate, [T, G]; NaN where x is constant."""
    return standardise(average_ranks(order(x, mask), mask), mask).unit


def spearman(x: FloatTG, y: FloatTG, mask: BoolTG) -> FloatT:
    """Spearman correlation over the masked genes, [T], in [-1, 1]: Pearson of average ranks.

    NaN where x or y is constant or fewer than two genes count. Source: Spearman 1904; equals
    `scipy.stats.spearmanr`.
    """
    return correlate(rank_unit(x, mask), rank_unit(y, mask))


class Chosen(NamedTuple):
    """A few genes of each row, [T, K]; those that fill up a row have weight 0. A row without a choice is NaN.

    Args:
        genes: [T, K] positions of genes.
        weights: [T, K] membership in [0, 1].
    """

    genes: IntTG
    weights: FloatTG

    def of(self, x: FloatTG) -> FloatTG:
        """Values of these genes, [T, K]."""
        return np.take_along_axis(x, self.genes, axis=1)

    def dense(self, genes: int) -> FloatTG:
        """Membership of every gene, [T, G]."""
        out = np.zeros((len(self.genes), genes))
        np.put_along_axis(out, self.genes, self.weights, axis=1)
        return out


def top_k(by: Ranking, k: int) -> Chosen:
    """The k genes of highest value of each row, with weights that sum to k.

    Genes tied at the last place share the places that are left, so that a constant score gives every gene
    k / n: the expected membership under random tie-breaking, without a shuffle and whatever the gene order.
    A row with fewer than k masked genes is NaN.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    rows, genes = by.genes.shape
    if not genes:
        return Chosen(by.genes, np.empty((rows, 0)))
    last = np.maximum(by.counts - k, 0)  # the lowest place that is among the k
    run = np.searchsorted(by.begins, last + genes * np.arange(rows), side="right") - 1
    first = by.begins[run] - genes * np.arange(rows)  # where those begin that are tied with it
    end = np.append(by.begins, by.genes.size)[run + 1] - genes * np.arange(rows)
    # Places first to counts; shorter rows are filled up with the highest other places, which are outside the mask or
    # below the k, and weigh nothing.
    width = int(max((by.counts - first).max(initial=1), min(k, genes)))
    place = np.maximum(by.counts - width, 0)[:, None] + np.arange(width)
    share = divide(k - (by.counts - end).astype(np.float64), (end - first).astype(np.float64))
    weights = np.where(place < end[:, None], share[:, None], 1.0)
    weights[(place < first[:, None]) | (place >= by.counts[:, None])] = 0.0
    weights[by.counts < k] = np.nan
    return Chosen(np.take_along_axis(by.genes, place, axis=1), weights)


def average_precision(by: Ranking, relevant: BoolTG) -> FloatT:
    """Area under the precision-recall curve as a step function, [T]: sum_n (R_n - R_(n-1)) P_n over distinct scores.

    Genes of equal score enter together, whatever their order; NaN without a relevant gene. Equals
    `sklearn.metrics.average_precision_score`.

    Args:
        by: Genes in the order of their score; the mask must hold all relevant ones.
        relevant: [T, G].
    """
    rows, genes = by.genes.shape
    place = np.flatnonzero(np.take_along_axis(relevant, by.genes, axis=1))
    row = place // max(genes, 1)
    totals = np.bincount(row, minlength=rows)
    # With a gene enter all of its score and above: from the first place of its run to the highest.
    run = by.begins[np.searchsorted(by.begins, place, side="right") - 1]
    lower = np.searchsorted(place, run, side="left")  # relevant genes before that, of earlier rows too
    precision = np.asarray((np.cumsum(totals)[row] - lower) / (by.counts[row] - (run - genes * row)))
    summed = np.zeros(rows) + np.bincount(row, weights=precision, minlength=rows)
    return divide(summed, totals.astype(np.float64))


def average_precision_at(by: Ranking, gain: FloatTG, k: int) -> FloatT:
    """Average precision at k, [T]: 1/k sum over places n <= k of (hits among the first n) / n where place n is a hit.

    Genes of equal score come in random order, and the value is the expectation over it: at place n of a run of L genes
    after the first a, E[hit_n (R + hits of the run up to n)] = S/L (R + 1) + (n - a - 1) (S^2 - sum g^2) / (L (L - 1)),
    with R hits before the run and S = sum g in it. NaN where fewer than k genes are masked.

    Args:
        by: Genes in the order of their score, the lowest first.
        gain: [T, G] chance that a gene is a hit; 0 outside the mask.
        k: Places that count.
    """
    rows, genes = by.genes.shape
    if genes < k:
        return np.full(rows, np.nan)
    ordered = np.take_along_axis(gain, by.genes, axis=1)
    hits, squares = (np.pad(np.cumsum(g, axis=1), ((0, 0), (1, 0))) for g in (ordered, ordered**2))
    count = by.counts[:, None]
    n = np.arange(1, k + 1)
    start = genes * np.arange(rows)[:, None]
    place = np.maximum(count - n, 0)
    run = np.searchsorted(by.begins, (place + start).ravel(), side="right").reshape(place.shape) - 1
    first, end = by.begins[run] - start, np.append(by.begins, by.genes.size)[run + 1] - start

    def of_run(sums: FloatTG) -> FloatTG:
        return np.asarray(np.take_along_axis(sums, end, axis=1) - np.take_along_axis(sums, first, axis=1))

    length, total = (end - first).astype(np.float64), of_run(hits)
    before = np.take_along_axis(hits, np.broadcast_to(count, place.shape), axis=1) - np.take_along_axis(
        hits, end, axis=1
    )
    pairs = (total**2 - of_run(squares)) / np.maximum(length * (length - 1), 1.0)
    value = total / length * (before + 1.0) + (n - (count - end) - 1) * pairs
    return np.where(by.counts < k, np.nan, (value / n).sum(axis=1) / k)
