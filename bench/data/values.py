"""Expression values: what they are, whether they are what a card says, and counts -> log1p."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.conditions import written
from bench.core.errors import BenchError
from bench.data.dataset import Strings
from bench.data.logs import DIFFERS, FITS, LOG1P, TWICE, UNDONE, share_of_multiples

#: Counts are normalised to this total before log1p, as scanpy's and GEARS' recipes do.
TARGET_SUM = 1e4
#: No log1p of counts normalised to a million, the largest total in use, is larger.
LARGEST_LOG = float(np.log1p(1e6))
_BLOCK = 1 << 22


def check_values(
    x: sp.csr_matrix, expression: Literal["counts", "log1p"], genes: Strings, source: str, guessed: bool = False
) -> list[str]:
    """Refuse expression that is not what the card says; return notes on what is only suspicious.

    Args:
        x: Expression ``[cells, genes]``.
        expression: What it is.
        genes: Names ``[genes]``, for messages.
        source: What to call the data in messages.
        guessed: Whether ``expression`` follows from the values and nobody wrote a card that says it.

    Raises:
        BenchError: Negative, NaN or infinite values; all integers with a maximum above 20 declared log1p, or values
            above :data:`LARGEST_LOG`; non-integers declared counts.
    """
    values = x.data
    # In blocks: a mask and a rounded copy of all values at once would double the peak memory of reading.
    blocks = [slice(i, i + _BLOCK) for i in range(0, len(values), _BLOCK)]
    for word in ("NaN or infinite", "negative"):
        counts = [int(_bad(values[block], word).sum()) for block in blocks]
        if sum(counts):
            block = blocks[int(np.argmax(np.array(counts) > 0))]
            gene = genes[x.indices[block][int(np.argmax(_bad(values[block], word)))]]
            raise BenchError(
                f"{source}: {sum(counts)} {word} values in X (first in gene '{gene}'). Expected log1p of "
                f"normalised counts, or raw counts; save X before scaling or regressing it (sc.pp.scale)."
            )
    integers = all(bool((values[block] == np.floor(values[block])).all()) for block in blocks)
    largest = float(values.max(initial=0.0))
    if expression == "counts" and not integers:
        raise BenchError(
            f"{source}: the card says expression: counts, but X holds non-integers (maximum {largest:.3g}). "
            f"Set expression: log1p if these are log-normalised values."
        )
    if expression == "log1p" and integers and largest > 20:
        raise BenchError(
            f"{source}: the card says expression: log1p, but X holds only integers up to {largest:.0f}. "
            f"These look like raw counts: set expression: counts."
        )
    if expression == "counts" or not len(values):
        return []
    if integers:
        return ["X holds only integers, which log1p values are not: if they are counts, set expression: counts"]
    if largest > LARGEST_LOG:
        said = "" if guessed else "the card says expression: log1p, but "
        as_card = "" if guessed else " with expression: counts"
        raise BenchError(
            f"{source}: {said}the largest value is {largest:.4g}, above ln(1e6 + 1) = {LARGEST_LOG:.4g}: no log1p of "
            f"counts normalised to a million or less. Take the log, or give the counts{as_card}."
        )
    return _suspicions(x, largest)


def _suspicions(x: sp.csr_matrix, largest: float) -> list[str]:
    """Name what values look like that can hardly be log1p of counts normalised to :data:`TARGET_SUM`."""
    notes = []
    if base := other_log(x):
        notes.append(
            f"X looks like log{base}(x + 1), not log1p: {base}^X - 1 adds up to the same in every cell. Multiply X by "
            f"{np.log(base):.4f}, or shifts are too large"
        )
    if largest > np.log1p(TARGET_SUM):
        notes.append(
            f"the largest value {largest:.4g} cannot be log1p of counts normalised to {TARGET_SUM:g} per cell (at most "
            f"{np.log1p(TARGET_SUM):.4g}): another total, or another log"
        )
    if looks_double_logged(x):
        notes.append("X looks log-transformed twice (log1p of log1p): check how the file was made")
    if looks_scaled(x):
        notes.append(
            "X looks scaled: nearly every gene has the standard deviation 1. Give the values before sc.pp.scale"
        )
    return notes


def other_log(x: sp.csr_matrix) -> int | None:
    """Return the base, 2 or 10, of a log(x + 1) whose undoing makes cells add up to the same; None = neither."""
    rows = np.linspace(0, x.shape[0] - 1, min(200, x.shape[0])).astype(int)
    cells = [x.data[x.indptr[i] : x.indptr[i + 1]].astype(np.float64) for i in rows]

    def spread(factor: float) -> float:
        sums = np.array([np.expm1(np.minimum(cell * factor, 60.0)).sum() for cell in cells if len(cell)])
        return float(sums.std() / sums.mean()) if len(sums) >= 20 else np.inf

    if spread(1.0) < 1e-3:
        return None
    return next((base for base in (2, 10) if spread(float(np.log(base))) < 1e-3), None)


def looks_scaled(x: sp.csr_matrix) -> bool:
    """Tell whether nearly all genes have the standard deviation 1, as scaling without centring leaves them."""
    n = x.shape[0]
    sums = np.bincount(x.indices, x.data, x.shape[1])
    squares = np.bincount(x.indices, x.data.astype(np.float64) ** 2, x.shape[1])
    there = sums > 0
    variance = (squares[there] - sums[there] ** 2 / n) / max(1, n - 1)
    return int(there.sum()) >= 20 and float((np.abs(variance - 1) < 0.02).mean()) > 0.9


def name_empty(x: sp.csr_matrix, condition: Strings, barcodes: Strings) -> list[str]:
    """Name cells without any count, and conditions that have no other cells.

    Args:
        x: Expression, or counts, ``[cells, genes]``.
        condition: ``[cells]``.
        barcodes: ``[cells]``.
    """
    empty = np.asarray(x.sum(axis=1)).ravel() == 0
    if not empty.any():
        return []
    notes = [
        f"{int(empty.sum())} cells have no count at all (first '{barcodes[int(np.argmax(empty))]}'): filter them out"
    ]
    if whole := sorted(set(condition[empty].tolist()) - set(condition[~empty].tolist())):
        names = ", ".join(map(written, whole[:5])) + (", ..." if len(whole) > 5 else "")
        notes.append(f"{len(whole)} conditions have only such cells ({names})")
    return notes


def _bad(values: NDArray[Any], word: str) -> NDArray[np.bool_]:
    return np.asarray(values < 0 if word == "negative" else ~np.isfinite(values))


def looks_double_logged(x: sp.csr_matrix) -> bool:
    """Tell whether expression was log-transformed twice.

    Undoing the right number of logs turns a cell's values into multiples of its smallest one (one count); one undoing
    is compared with two.
    """
    twice, once = (share_of_multiples(x, UNDONE[name]) or 0.0 for name in (TWICE, LOG1P))
    return twice > FITS and once < DIFFERS


def canonical(x: sp.csr_matrix) -> sp.csr_matrix:
    """Return float32 CSR with sorted indices, summed duplicates and no explicit zeros, int32 indices where they fit."""
    out = sp.csr_matrix((x.data.astype(np.float32, copy=False), x.indices, x.indptr), shape=x.shape)
    out.sum_duplicates()
    out.eliminate_zeros()
    return out


def normalise(counts: sp.csr_matrix, totals: np.ndarray[Any, Any] | None = None) -> sp.csr_matrix:
    """Return log1p of counts scaled to :data:`TARGET_SUM` per cell.

    Args:
        counts: ``[cells, genes]``, non-negative.
        totals: The library size of each cell ``[cells]``; absent = its row sum. Cells of size 0 stay 0.
    """
    size = np.asarray(counts.sum(axis=1)).ravel() if totals is None else np.asarray(totals)
    scale = TARGET_SUM / np.where(size > 0, size, 1).astype(np.float64)
    values = np.log1p(counts.data * np.repeat(scale, np.diff(counts.indptr)))
    return canonical(sp.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape))
