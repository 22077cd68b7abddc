"""Terms of variational autoencoders with sparse perturbation effects: divergences in nats, per row."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.objectives.precision import at_least_float32

#: Control that a perturbed cell is aligned with; see :func:`partners`.
Pair = Literal["random", "batch_matched", "centroid"]


def normal_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """``KL(N(mean, diag exp(log_variance)) || N(0, I))``, summed over the last axis ``[..., D] -> [...]``.

    Source: Kingma and Welling 2014, appendix B.
    """
    mean, log_variance = at_least_float32(mean), at_least_float32(log_variance)
    return 0.5 * (mean.square() + torch.exp(log_variance) - 1 - log_variance).sum(dim=-1)


def bernoulli_divergence(logits: Tensor, prior: float) -> Tensor:
    """``KL(Bernoulli(sigmoid(logits)) || Bernoulli(prior))``, summed over the last axis ``[..., D] -> [...]``.

    Args:
        logits: ``[..., D]``.
        prior: In (0, 1).

    Source: Lopez et al. 2023 (sVAE+), Bereket and Karaletsos 2023 (SAMS-VAE): the divergence of the masks is that of
    the discrete variables, whatever relaxation their gradient goes through.
    """
    logits = at_least_float32(logits)
    on = torch.sigmoid(logits)
    each = on * (F.logsigmoid(logits) - math.log(prior)) + (1 - on) * (F.logsigmoid(-logits) - math.log1p(-prior))
    return each.sum(dim=-1)


def plated(divergence: Tensor, cells: Tensor) -> Tensor:
    """Share of each cell in the divergence of its perturbations: ``sum_p KL_p / n_p``.

    Summed over a perturbation's ``n_p`` training cells that is ``KL_p``, once.

    Args:
        divergence: Of each perturbation of a row ``[..., A]``; 0 where there is none.
        cells: Training cells that carry it ``[..., A]``.
    """
    return (divergence / cells.clamp_min(1)).sum(dim=-1)


def alignment(z: Tensor, partner: Tensor) -> Tensor:
    """Mean over rows of ``||z - partner||^2`` ``[B, D] -> []``. Source: notes on PerturbedVAE (arXiv 2605.19343)."""
    return (at_least_float32(z) - at_least_float32(partner)).square().sum(dim=-1).mean()


def partners(controls: Tensor, context: Tensor, pair: Pair, generator: torch.Generator) -> Tensor:
    """The control latent that each perturbed cell is drawn to ``[B, D]``, of its own context.

    Args:
        controls: Latents of one control per cell, of its context and where possible of its batch ``[B, D]``.
        context: Of each cell ``[B]``.
        pair: ``batch_matched`` (the cell's own control), ``random`` (exchanged within the context) or ``centroid`` (the
            mean of the context's).
        generator: Draws, on the CPU.
    """
    if pair == "batch_matched":
        return controls
    out = torch.empty_like(controls)
    for c in sorted(set(context.tolist())):
        rows = torch.nonzero(context == c)[:, 0]
        if pair == "centroid":
            out[rows] = controls[rows].mean(dim=0)
        else:
            out[rows] = controls[rows[torch.randperm(len(rows), generator=generator).to(rows.device)]]
    return out
