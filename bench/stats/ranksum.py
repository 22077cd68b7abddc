"""Wilcoxon rank-sum tests of groups of cells and of their halves, all against the same reference cells, in one pass.

The Mann-Whitney U of a group is a sum over its cells: how many reference cells each of them exceeds, ties counting one
half. That number does not depend on who else is in the group. So each value is ranked among the reference cells once,
and the tests of a group and of all its halves are sums of the same numbers. Zeros are never ranked, only counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.halved import Halved, Rows

Keys = NDArray[np.uint64]

#: Bits of a sort key, from the highest: gene within the block, value, cell. The bits of floats >= 0 sort as they do.
_GENE_BITS, _VALUE_BITS, _CELL_BITS = 6, 31, 27
#: Cells x genes that are held dense at once.
_BLOCK_VALUES = 1_500_000


@dataclass(frozen=True)
class _Ranked:
    """The non-zero values of a block of B genes, sorted by gene, value and cell; a *run* is equal values of one gene.

    Attributes:
        cell: Tested cell of each of the M values ``[M]``; reference cells are left out.
        run: Its run ``[M]``.
        gene: Gene of each run ``[R]``.
        reference: Reference cells in each run ``[R]``.
        below: Reference cells in earlier runs of the gene ``[R]``.
        zeros: Reference cells that are zero, by gene ``[B]``.
    """

    cell: Rows
    run: Rows
    gene: Rows
    reference: Floats
    below: Floats
    zeros: Floats


def rank_sum_z(
    x: sp.csr_matrix, tested: Halved, reference: Rows, genes: range | None = None
) -> Iterator[tuple[slice, Floats]]:
    """Tie-corrected Wilcoxon rank-sum z of groups and of their halves: ``shift / sd`` of :func:`rank_sums`.

    Yields:
        Block by block, which genes, and their z ``[1 + 2 H, K, B]``; 0 where all values tie or a group is empty.
    """
    for block, shift, sd in rank_sums(x, tested, reference, genes):
        yield block, np.divide(shift, sd, out=np.zeros_like(shift), where=sd > 0)


def rank_sums(
    x: sp.csr_matrix, tested: Halved, reference: Rows, genes: range | None = None
) -> Iterator[tuple[slice, Floats, Floats]]:
    """Wilcoxon rank sums of groups and of their halves against the reference cells.

    Args:
        x: Expression ``[cells, G]``, float32 CSR, no value below 0.
        tested: Groups of cells.
        reference: Rows of the reference cells; a row may be there twice.
        genes: Stretch of genes to test; all if not given.

    Yields:
        Block by block, which genes, how far Mann-Whitney's U is above its expectation, and its tie-corrected SD, each
        ``[1 + 2 H, K, B]``: of the groups, then of halves 2i and 2i + 1 of halving i. Positive where the group is
        higher; SD 0 where all values tie or a group is empty. No continuity correction, as scanpy with
        ``tie_correct=True``.

    Raises:
        ValueError: Other values, or more cells than a sort key can name.

    Source: Mann and Whitney 1947, with the tie correction of the normal approximation (Lehmann 1975).
    """
    x = _checked(x)
    span = range(x.shape[1]) if genes is None else genes
    n_cells, n_reference = len(tested.rows), len(reference)
    members, sizes = tested.members(), tested.sizes()
    width = max(1, min(2**_GENE_BITS, _BLOCK_VALUES // max(1, n_cells), len(span)))
    space = np.empty(n_cells * 3 * width)
    for block, keys in _sorted_keys(x, np.concatenate([tested.rows, reference]), span, width):
        size = block.stop - block.start
        ranked = _rank(keys, n_cells, n_reference, size)
        above, ties, expressed = _sums(ranked, tested, members, size, space)
        n = sizes[..., None]
        shift = above + n * (ranked.zeros - n_reference) / 2
        zeros = ranked.zeros + n - expressed
        ties += _cubed_less(zeros)
        ties += np.bincount(ranked.gene, weights=_cubed_less(ranked.reference), minlength=size)
        total = n + n_reference
        variance = n * n_reference / 12 * (total + 1 - ties / np.maximum(total * (total - 1), 1))
        yield block, shift, np.sqrt(np.maximum(variance, 0))


def resampled_shifts(
    cells: sp.csc_matrix, tested: Halved, pool: sp.csc_matrix, weights: Floats, genes: range
) -> Iterator[tuple[int, Floats]]:
    """How far U is above its expectation where each reference cell counts as often as a weight says.

    U sums, over the cells of a group, the weight of the reference cells below each of them and half of that of its
    ties: the weighted mid-distribution of the reference at each cell. Counting the group's cells between the ordered
    reference values makes it one matrix product for all weights.

    Args:
        cells: Expression of the tested cells ``[N, G]``, no value below 0.
        tested: Their groups.
        pool: Expression of the reference cells ``[R, G]``.
        weights: How often each of them counts ``[R, B]``; every column sums to R.
        genes: Genes to test.

    Yields:
        Gene by gene, which it is and the shifts ``[1 + 2 H, K, B]``, laid out as in :func:`rank_sums`.
    """
    step = 1 + len(tested.side)
    # Which rows of the sums a cell enters: its group's, and those of the first halves that it is in.
    member = np.concatenate([np.ones((1, len(tested.rows)), dtype=np.bool_), tested.side == 0]).T
    row = tested.group[:, None] * step + np.arange(step)
    n = np.bincount(row[member], minlength=step * tested.n_groups).astype(np.float64)[:, None]
    for gene in genes:
        theirs, ours = (slice(*of.indptr[gene : gene + 2]) for of in (pool, cells))
        order = np.argsort(pool.data[theirs], kind="stable")
        values, weight = pool.data[theirs][order], weights[pool.indices[theirs][order]]
        upto = np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(weight, axis=0)])
        zeros = pool.shape[0] - upto[-1]
        mine, value = cells.indices[ours], cells.data[ours]
        enters, counts = member[mine], np.zeros((len(n), len(upto)))
        for side in ("left", "right"):  # a value exceeds what is below it, and half of what equals it
            place = np.broadcast_to(np.searchsorted(values, value, side=side)[:, None], enters.shape)[enters]
            counts += np.bincount(row[mine][enters] * len(upto) + place, minlength=counts.size).reshape(counts.shape)
        above = counts.sum(axis=1, keepdims=True) / 2  # expressing cells exceed all zeros, others tie with them
        u = counts @ upto / 2 + (n + above) / 2 * zeros
        yield gene, tested.unfold(u - n * pool.shape[0] / 2)


def _cubed_less(t: Floats) -> Floats:
    """``t^3 - t``; numpy's power takes ten times as long as products."""
    return t * (t * t - 1)


def _checked(x: sp.csr_matrix) -> sp.csr_matrix:
    """Canonical form without stored zeros, which is what data sets are in already."""
    if not x.has_canonical_format or x.data.min(initial=1.0) <= 0:
        x = x.copy()
        x.sum_duplicates()
        x.eliminate_zeros()
    if x.dtype != np.float32 or x.data.min(initial=1.0) < 0:
        raise ValueError("expected float32 expression, no value below 0")
    return x


def _sorted_keys(x: sp.csr_matrix, rows: Rows, span: range, width: int) -> Iterator[tuple[slice, Keys]]:
    """Non-zero values of some cells and genes as sorted keys of (gene, value, cell), by blocks of genes.

    Sorting one integer per value is several times faster than any sort of values that carries cells along.
    """
    if len(rows) > 2**_CELL_BITS:
        raise ValueError(f"expected at most {2**_CELL_BITS:,} cells")
    bits = x.data.view(np.uint32)
    begin, end = x.indptr[rows].astype(np.int64), x.indptr[rows + 1].astype(np.int64)
    if span.start:
        begin = _first_at(x.indices, begin, end, span.start)
    for first in range(span.start, span.stop, width):
        last = min(first + width, span.stop)
        stop = _first_at(x.indices, begin, np.minimum(end, begin + last - first), last)
        count = stop - begin
        entry = np.repeat(begin - (np.cumsum(count) - count), count)
        entry += np.arange(len(entry))
        keys = x.indices.take(entry).astype(np.uint64)
        keys -= np.uint64(first)
        keys <<= np.uint64(_VALUE_BITS)
        keys |= bits.take(entry)
        keys <<= np.uint64(_CELL_BITS)
        keys |= np.repeat(np.arange(len(rows), dtype=np.uint64), count)
        keys.sort()
        yield slice(first, last), keys
        begin = stop


def _first_at(columns: NDArray[np.integer], low: Rows, high: Rows, column: int) -> Rows:
    """Where in each row's stretch ``low .. high`` of sorted columns those from ``column`` on begin, by bisection."""
    low, high = low.copy(), high.copy()
    while (wide := low < high).any():
        middle = (low + high) // 2
        left = columns[np.minimum(middle, len(columns) - 1)] < column
        low, high = np.where(wide & left, middle + 1, low), np.where(wide & ~left, middle, high)
    return low


def _rank(keys: Keys, n_cells: int, n_reference: int, size: int) -> _Ranked:
    """Count reference cells run by run; cells from ``n_cells`` on are reference cells. Uses the keys up."""
    cell = (keys & np.uint64(2**_CELL_BITS - 1)).view(np.int64)
    keys >>= np.uint64(_CELL_BITS)
    begins = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=begins[1:])
    run = np.cumsum(begins, dtype=np.int64)
    run -= 1
    gene = (keys[begins] >> np.uint64(_VALUE_BITS)).view(np.int64)
    mine = cell < n_cells
    reference = np.bincount(run[~mine], minlength=len(gene)).astype(np.float64)
    found = np.bincount(gene, weights=reference, minlength=size).astype(np.float64)
    below = np.cumsum(reference) - reference - (np.cumsum(found) - found)[gene]
    return _Ranked(cell[mine], run[mine], gene, reference, below, n_reference - found)


def _sums(
    ranked: _Ranked, tested: Halved, members: sp.csr_matrix, size: int, space: Floats
) -> tuple[Floats, Floats, Floats]:
    """What the tests need of the non-zero values, summed over groups and halves, each ``[1 + 2 H, K, B]``.

    Args:
        ranked: The values.
        tested: The groups.
        members: Their indicator.
        size: Number of genes ``B``.
        space: Memory for ``N x 3 B`` numbers: taken anew for each block, it would cost more than the sums do.

    Returns:
        Reference cells that the values exceed, beyond what zeros would; their part of the tie correction, the sum of
        t^3 - t over runs, less that of the reference cells alone; and how many values there are. All are integers or
        halves, so their sums and differences are exact.
    """
    gene, t = ranked.gene, ranked.reference
    exceeds, shared = ranked.below + t / 2 + ranked.zeros[gene] / 2, 3 * t * (t + 1)
    dense = space[: len(tested.rows) * 3 * size].reshape(-1, 3 * size)
    dense.fill(0)
    place = ranked.cell * (3 * size) + gene[ranked.run]
    dense.ravel()[place] = (exceeds + 1)[ranked.run]  # + 1 tells a value that exceeds nothing from a zero
    np.minimum(dense[:, :size], 1, out=dense[:, size : 2 * size])
    tied = t[ranked.run] > 0
    dense.ravel()[place[tied] + 2 * size] = shared[ranked.run[tied]]
    sums = tested.unfold(members @ dense)
    above, expressed, ties = (sums[..., i * size : (i + 1) * size] for i in range(3))
    above -= expressed
    _add_shared(ties, ranked, tested)
    return above, ties, expressed


def _add_shared(ties: Floats, ranked: _Ranked, tested: Halved) -> None:
    """Correct the tie sums, in which every value counted as the only one of its group in its run.

    m values among t reference cells make (t + m)^3 - (t + m) of t^3 - t: m times what one makes, and the rest here.
    """
    group = tested.group[ranked.cell]
    again = np.zeros(len(group) + 1, dtype=np.bool_)  # cells are sorted by group within a run
    again[1:-1] = (ranked.run[1:] == ranked.run[:-1]) & (group[1:] == group[:-1])
    shared = np.flatnonzero(again[1:] | again[:-1])
    if not len(shared):
        return
    begins = ~again[:-1][shared]
    knot = np.cumsum(begins) - 1
    run = ranked.run[shared][begins]
    t, size = ranked.reference[run], ties.shape[-1]
    place = group[shared][begins] * size + ranked.gene[run]

    def add(into: Floats, m: Floats) -> None:
        rest = m * (m - 1) * (3 * t + m + 1)
        into += np.bincount(place, weights=rest, minlength=into.size).reshape(into.shape)

    m = np.bincount(knot).astype(np.float64)
    add(ties[0], m)
    for i, side in enumerate(tested.side):
        second = np.bincount(knot, weights=side[ranked.cell[shared]]).astype(np.float64)
        add(ties[1 + 2 * i], m - second)
        add(ties[2 + 2 * i], second)
