"""Wilcoxon rank-sum z of groups of cells and of their halves against reference cells: one sort of all that is not 0.

Source: Mann and Whitney 1947; tie correction: Lehmann 1975.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class _Sums(NamedTuple):
    """Of some cells of each of K groups ``[K, G]``: those that are 0, and of the others midranks and what ties add.

    All are of whole numbers and halves, so that nothing is rounded.
    """

    zeros: Floats
    above: Floats
    ties: Floats


class _Values(NamedTuple):
    """Values of cells that are not 0, sorted by gene and size ``[n]``, and where they stand among the reference.

    Attributes:
        cell: Whose value.
        gene: Of which gene.
        run: Number of the values that it ties with, itself among them.
        same: How many reference cells are among these.
        above: Reference cells that are lower, and half of those that tie.
    """

    cell: Rows
    gene: Rows
    run: Rows
    same: Floats
    above: Floats


def z_scores(cells: Floats, group: Rows, side: Rows, reference: Floats) -> tuple[Floats, Floats]:
    """Z of each group, and of halves 2i (side 0) and 2i + 1 (side 1) of halving i; and the SD of U of whole groups.

    Args:
        cells: Expression ``[N, G]``, group after group.
        group: Group of each cell ``[N]``, ascending from 0.
        side: Half of each cell, by halving ``[H, N]``.
        reference: Expression of the reference cells ``[R, G]``.

    Returns:
        ``[1 + 2 H, K, G]``, positive where the group is higher, 0 where all values tie or a half is empty; and
        ``[K, G]``.
    """
    n_ref, genes = reference.shape
    shape = int(group[-1]) + 1, genes
    found, of_reference = _placed(cells, reference)
    none = (reference == 0).sum(axis=0).astype(np.float64)
    lowest = (reference < 0).sum(axis=0) + none / 2.0
    key = group[found.cell] * genes + found.gene
    entry, several = _shared(found, group)
    first = entry[np.unique(several, return_index=True)[1]]

    def sums(chosen: NDArray[np.bool_]) -> _Sums:
        some = chosen[found.cell]

        def added(weights: Floats | None) -> Floats:
            of = None if weights is None else weights[some]
            return np.bincount(key[some], of, shape[0] * genes).reshape(shape).astype(np.float64)

        sizes = np.bincount(group[chosen], minlength=shape[0]).astype(np.float64)[:, None]
        # A cell alone in its tie adds (t + 1)^3 - (t + 1) - (t^3 - t) to those of the t reference cells.
        return _Sums(sizes - added(None), added(found.above), added(3.0 * found.same * (found.same + 1.0)))

    def beyond(chosen: NDArray[np.bool_]) -> Floats:
        """M cells of one group in a tie add m (m - 1) (3 t + m + 1) more than m cells that are alone."""
        m = np.bincount(several, chosen[found.cell[entry]])
        more = m * (m - 1.0) * (3.0 * found.same[first] + m + 1.0)
        return np.bincount(key[first], more, shape[0] * genes).reshape(shape).astype(np.float64)

    chosen = [np.ones(len(group), dtype=np.bool_), *(half for of in side for half in (of == 0, of != 0))]
    parts = [sums(chosen[0])]
    for half in chosen[1::2]:
        parts += [mine := sums(half), _Sums(*(a - b for a, b in zip(parts[0], mine, strict=True)))]
    out, spread = np.empty((len(parts), *shape)), np.empty((len(parts), *shape))
    for z, sd, part, cells_of in zip(out, spread, parts, chosen, strict=True):
        size = np.bincount(group[cells_of], minlength=shape[0])[:, None].astype(np.float64)
        t = none + part.zeros
        ties = part.ties + beyond(cells_of) + of_reference + t**3 - t
        total = size + n_ref
        variance = size * n_ref / 12.0 * (total + 1.0 - ties / np.maximum(total * (total - 1.0), 1.0))
        sd[:] = np.sqrt(np.maximum(variance, 0.0))
        u = part.above + part.zeros * lowest
        z[:] = np.where(sd > 0, (u - size * n_ref / 2.0) / np.where(sd > 0, sd, 1.0), 0.0)
    return out, spread[0]


def _placed(cells: Floats, reference: Floats) -> tuple[_Values, Floats]:
    """Put values of cells among those of the reference; and what the ties of these alone come to ``[G]``."""
    genes = reference.shape[1]
    parts = [np.nonzero(block) for block in (reference, cells)]
    value = np.concatenate([block[at] for block, at in zip((reference, cells), parts, strict=True)])
    gene = np.concatenate([at[1] for at in parts])
    cell = np.concatenate([np.full(len(parts[0][0]), -1), parts[1][0]])  # -1: of the reference
    order = np.lexsort((value, gene))
    value, gene, cell = value[order], gene[order], cell[order]
    begins = np.ones(len(value), dtype=np.bool_)
    begins[1:] = (value[1:] != value[:-1]) | (gene[1:] != gene[:-1])
    run = np.cumsum(begins) - 1
    start = np.flatnonzero(begins)
    there = np.concatenate([[0], np.cumsum(cell < 0)])
    same = np.diff(there[np.append(start, len(value))]).astype(np.float64)  # by run
    before = there[start] - there[np.searchsorted(gene, np.arange(genes))][gene[start]]
    zeros = (reference == 0).sum(axis=0)[gene[start]] * (value[start] > 0)
    above = before + zeros + same / 2.0
    of_reference = np.bincount(gene[start], same**3 - same, genes).astype(np.float64)
    mine = np.flatnonzero(cell >= 0)
    at = run[mine]
    return _Values(cell[mine], gene[mine], at, same[at], above[at]), of_reference


def _shared(found: _Values, group: Rows) -> tuple[Rows, Rows]:
    """Values that several cells of one group have ``[n]``, and a number from 0 of group and tie ``[n]``, ascending."""
    tied = np.flatnonzero(np.bincount(found.run)[found.run] > 1) if len(found.run) else np.empty(0, np.int64)
    names = found.run[tied] * (int(group[-1]) + 1) + group[found.cell[tied]]
    _, number, count = np.unique(names, return_inverse=True, return_counts=True)
    several = count[number] > 1
    order = np.argsort(number[several], kind="stable")
    number = np.unique(number[several][order], return_inverse=True)[1]
    return tied[several][order], number.astype(np.int64)
