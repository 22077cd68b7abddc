"""The teacher: an exponential moving average of the student."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from bench.core.errors import BenchError

# Typed here, because torch leaves it untyped.
_averaging: Callable[[float], Callable[[Sequence[Tensor], Sequence[Tensor], int], None]] = get_ema_multi_avg_fn

M = TypeVar("M", bound=nn.Module)


def make_teacher(student: M) -> M:
    """A frozen copy of the student, equal to it at the start, that receives no gradient."""
    return copy.deepcopy(student).requires_grad_(False).eval()


@torch.no_grad()
def update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher towards the student, in place: ``teacher = momentum * teacher + (1 - momentum) * student``.

    Parameters are averaged; buffers are copied.

    Args:
        teacher: Made by :func:`make_teacher`.
        student: The module being trained.
        momentum: Share of the teacher that stays, in [0, 1]; 0.996 in BioJEPAC (constant) and I-JEPA (at the start).

    Raises:
        BenchError: If the momentum is out of range.
        ValueError: If the two modules differ in structure.

    Source: Assran et al. 2023 (I-JEPA), section 3; BioJEPAC report v0.4.
    """
    if not 0 <= momentum <= 1:
        raise BenchError(f"EMA momentum is {momentum:g}; expected a number in [0, 1].")
    ours, theirs = dict(teacher.named_parameters()), dict(student.named_parameters())
    if ours.keys() != theirs.keys():
        raise ValueError(f"teacher and student differ in parameters: {sorted(ours.keys() ^ theirs.keys())[:5]}")
    # One fused call over all parameters: a loop over them would cost a kernel launch each.
    _averaging(momentum)(tuple(ours.values()), tuple(theirs[name].detach() for name in ours), 0)
    for mine, its in zip(teacher.buffers(), student.buffers(), strict=True):
        mine.copy_(its)
