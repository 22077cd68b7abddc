"""Counts back from log1p expression: a cell's values are then multiples of its one count."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Cells are normalised to this total before log1p (:data:`bench.data.values.TARGET_SUM`).
TOTAL = 1e4
#: A value this far from a multiple is none.
_OFF = 0.05
#: Counts that the smallest value of a cell may stand for.
_SMALLEST = (1, 2, 3)


class Counts(NamedTuple):
    """Counts of cells.

    Attributes:
        counts: ``[B, G]``, whole numbers.
        library: Total of the whole cell, unmeasured genes included ``[B, 1]``.
        exact: Whether the cell's values are multiples of one count ``[B]``.
    """

    counts: Tensor
    library: Tensor
    exact: Tensor


def recover(x: Tensor) -> Counts:
    """Undo ``log1p(1e4 counts / library)``.

    Args:
        x: Expression ``[B, G]``; a cell without any has no counts and a library of 1e4.

    Example:
        >>> recover(torch.log1p(1e4 * torch.tensor([[0.0, 1.0, 3.0]]) / 8000)).counts.tolist()
        [[0.0, 1.0, 3.0]]
    """
    linear = torch.expm1(x.double())
    smallest = torch.where(linear > 0, linear, torch.inf).amin(dim=1, keepdim=True)
    unit = torch.where(torch.isfinite(smallest), smallest, 1.0)
    exact = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    chosen = unit
    for multiple in _SMALLEST:
        ratio = linear * multiple / unit
        fits = (ratio - ratio.round()).abs().amax(dim=1) < _OFF
        chosen = torch.where((fits & ~exact)[:, None], unit / multiple, chosen)
        exact |= fits
    return Counts((linear / chosen).round().to(x.dtype), (TOTAL / chosen).to(x.dtype), exact)
