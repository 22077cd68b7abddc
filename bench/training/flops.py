"""Floating-point operations of a training step, counted once and multiplied: for the ledger."""

from __future__ import annotations

from collections.abc import Callable

import torch


def flops_of(loss: Callable[[], torch.Tensor]) -> float:
    """Count the operations of a loss and its gradient, matrix products alone, as torch's counter does.

    Args:
        loss: Computes it, on modules that are not trained on: their gradients are changed.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        loss().backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops())


@torch.no_grad()
def forward_flops_of(compute: Callable[[], object]) -> float:
    """The same of something that is computed without a gradient."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        compute()
    return float(counter.get_total_flops())
