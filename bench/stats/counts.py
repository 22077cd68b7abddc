"""Counts back from log1p expression, and their cut in two parts that hold independent noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats

#: Cells are taken to be normalised to this total before log1p.
TOTAL = 1e4
#: A value this far from a multiple is none.
_OFF = 0.05
#: Counts that the smallest value of a cell may stand for.
_SMALLEST = (1, 2, 3)


class Counts(NamedTuple):
    """Counts of cells.

    Attributes:
        counts: Whole numbers ``[N, G]``, CSR of int64.
        library: Total of the whole cell, unmeasured genes included ``[N]``.
        exact: Whether the cell's values are multiples of one count ``[N]``; a cell without any value is not.
    """

    counts: sp.csr_matrix
    library: Floats
    exact: NDArray[np.bool_]


def recover(x: sp.csr_matrix) -> Counts:
    """Undo ``log1p(1e4 counts / library)``: a cell's values are multiples of its one count.

    Args:
        x: Expression ``[N, G]``, CSR without explicit zeros.

    Example:
        >>> recover(sp.csr_matrix(np.log1p(1e4 * np.array([[0.0, 1.0, 3.0]]) / 8000))).counts.toarray().tolist()
        [[0, 1, 3]]
    """
    length = np.diff(x.indptr)
    full = np.flatnonzero(length)  # cells without a value have no smallest one
    begins = x.indptr[:-1][full]
    linear = np.expm1(x.data.astype(np.float64))
    unit = np.ones(x.shape[0])
    exact = np.zeros(x.shape[0], dtype=np.bool_)
    if len(full):
        smallest = np.minimum.reduceat(linear, begins)
        chosen, found = smallest.copy(), np.zeros(len(full), dtype=np.bool_)
        for multiple in _SMALLEST:
            ratio = linear * np.repeat(multiple / smallest, length[full])
            fits = np.maximum.reduceat(np.abs(ratio - np.rint(ratio)), begins) < _OFF
            chosen = np.where(fits & ~found, smallest / multiple, chosen)
            found |= fits
        unit[full], exact[full] = chosen, found
    counts = np.rint(linear / np.repeat(unit, length)).astype(np.int64)
    return Counts(sp.csr_matrix((counts, x.indices, x.indptr), shape=x.shape), TOTAL / unit, exact)


def thin(known: Counts, share: float, rng: np.random.Generator) -> sp.csr_matrix:
    """Keep each count of a cell with a probability, as if the cell had been sequenced less deeply.

    Args:
        known: Counts of N cells.
        share: The probability.
        rng: Draws them, in the order of the cells and, within a cell, of the genes.

    Returns:
        log1p expression at the cell's new total ``[N, G]``, CSR without explicit zeros.
    """
    counts = known.counts
    kept = rng.binomial(counts.data, share)
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    measured, left = (np.bincount(rows, weights=of, minlength=counts.shape[0]) for of in (counts.data, kept))
    others = np.maximum(np.rint(known.library - measured), 0).astype(np.int64)  # counts of genes that are not here
    library = np.maximum(left + rng.binomial(others, share), 1)
    data = np.log1p(kept * (TOTAL / library)[rows])
    made = sp.csr_matrix((data, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape)
    made.eliminate_zeros()
    return made


def halves(known: Counts, rng: np.random.Generator) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Cut the counts of each cell in two parts: every single count goes to either, by a fair coin.

    If counts are Poisson given the cell's rates, the parts are independent given these: what is chosen by one of them
    is not chosen for its noise in the other.

    Args:
        known: Counts of N cells.
        rng: Tosses the coins, in the order of the cells and, within a cell, of the genes.

    Returns:
        Both parts as log1p expression at the cell's own depth, ``log1p(1e4 part / (library / 2))`` ``[N, G]``.

    Source: count splitting, Neufeld, Gao, Popp, Battle and Witten 2024.
    """
    counts = known.counts
    first = rng.binomial(counts.data, 0.5)
    scale = np.repeat(2.0 * TOTAL / known.library, np.diff(counts.indptr))

    def expression(part: NDArray[np.int64]) -> sp.csr_matrix:
        return sp.csr_matrix((np.log1p(part * scale), counts.indices, counts.indptr), shape=counts.shape)

    return expression(first), expression(counts.data - first)
