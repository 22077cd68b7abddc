"""Aligning two descriptions of the same perturbation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.objectives.precision import at_least_float32


def info_nce(a: Tensor, b: Tensor, group: Tensor, tau: float = 0.07, *, symmetric: bool = False) -> Tensor:
    """InfoNCE over cosine similarities, in which every row of the same group is a positive.

    For row ``i`` of ``a``: the mean of ``-log softmax_j(cos(a_i, b_j) / tau)`` over the ``j`` of its group. With groups
    of one this is the published loss; with several guides of one gene in a batch, that takes them for negatives.

    Args:
        a: One description per row ``[N, W]``.
        b: The other ``[N, W]``.
        group: Rows that describe the same thing share a number, int64 ``[N]``.
        tau: Temperature.
        symmetric: Average with the loss from ``b`` to ``a``; published is one direction.

    Returns:
        Scalar; ``ln N`` when nothing is told apart and groups are single.

    Source: van den Oord et al. 2018; several positives as in Khosla et al. 2020, eq. 2; tau from BioJEPAC report v0.4.
    """
    a, b = F.normalize(at_least_float32(a), dim=1), F.normalize(at_least_float32(b), dim=1)
    with torch.autocast(a.device.type, enabled=False):
        logits = a @ b.T / tau
    positive = (group[:, None] == group[None, :]).to(logits.dtype)
    positive = positive / positive.sum(1, keepdim=True)
    loss = F.cross_entropy(logits, positive)
    return (loss + F.cross_entropy(logits.T, positive)) / 2 if symmetric else loss
