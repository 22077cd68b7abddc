"""A model as a function of a continuous action: what a search by gradients follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

#: (cell, action) pairs predicted at once: bounds memory.
ROWS = 8_192


@dataclass(frozen=True)
class Steered:
    """What a model predicts under any action, from given control cells.

    Attributes:
        actions: Actions of the conditions asked for ``[C, K]``; that of a combination is the sum of its constituents'.
        outcome: Predicted mean expression under actions ``[S, K] -> [S, G]``, float64; gradients lead through it.
    """

    actions: torch.Tensor
    outcome: Callable[[torch.Tensor], torch.Tensor]


def in_blocks(function: Callable[[torch.Tensor], torch.Tensor], actions: torch.Tensor, cells: int) -> torch.Tensor:
    """Apply a function to actions ``[S, K]``, so many of them at a time that memory is bounded.

    Args:
        function: ``[s, K] -> [s, W]``.
        actions: ``[S, K]``.
        cells: Control cells that each is predicted from.
    """
    return torch.cat([function(part) for part in torch.split(actions, max(1, ROWS // max(cells, 1)))])
