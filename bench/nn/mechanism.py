"""From the action of a perturbation to what it changes in the causal prior, sparse and summed over combinations."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from bench.nn.causal_prior import Mechanism
from bench.nn.initialise import linear
from bench.nn.mlp_encoder import ResidualMLP

Compose = Literal["mechanism", "additive"]
#: Probability that an entry of a mask is on before anything is learned: effects must be learned before they are pruned.
START_ON = 0.98
#: Log variance of an effect's posterior at the start.
_LOG_VARIANCE = -4.0


class Effect(NamedTuple):
    """The mechanism of each condition, and the posterior of its parts.

    Attributes:
        mechanism: Of each condition ``[N, ...]``.
        mean: Mean of each constituent's effect ``[N, A, D]``.
        log_variance: Its log variance ``[N, A, D]``; ``None`` without a mask: then effects are numbers.
        logits: Of each constituent's mask ``[N, A, D]``; ``None`` without a mask.
    """

    mechanism: Mechanism
    mean: Tensor
    log_variance: Tensor | None
    logits: Tensor | None


class MechanismHead(nn.Module):
    """Mask, effect, edges and scales of each perturbation, from its action vector; a combination sums its parts.

    ``b(u) = sum_p m_p * e_p``, ``dA(u) = sum_p L_p R_p'`` (strictly lower part, low rank), ``s(u) = sum_p s_p``.

    Args:
        action: Width of an action.
        width: Latents ``D``.
        rank: Rank of the change of edges; 0 = none.
        masked: Whether effects are masked: ``m_p`` relaxed Bernoulli, ``e_p`` normal.
        compose: ``mechanism`` (all of it) or ``additive`` (shifts alone).
        temperature: Of the relaxed Bernoulli; the forward pass is hard (straight-through).

    Source: masks and effects: Lopez et al. 2023 (sVAE+), Bereket and Karaletsos 2023 (SAMS-VAE); low-rank modulation of
    edges and scales: notes on PerturbedVAE (arXiv 2605.19343).
    """

    def __init__(
        self,
        action: int,
        width: int,
        rank: int,
        masked: bool,
        compose: Compose,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.width, self.temperature = width, temperature
        self.rank = rank if compose == "mechanism" else 0
        self.block = ResidualMLP(action)
        self.effect = linear(action, width)
        self.mask = linear(action, width, zero=True) if masked else None
        self.spread = linear(action, width, zero=True) if masked else None
        if self.mask is not None and self.spread is not None:
            nn.init.constant_(self.mask.bias, math.log(START_ON / (1 - START_ON)))
            nn.init.constant_(self.spread.bias, _LOG_VARIANCE)
        self.rows = linear(action, width * self.rank, zero=True) if self.rank else None
        self.columns = linear(action, width * self.rank) if self.rank else None
        self.scale = linear(action, width, zero=True) if compose == "mechanism" else None

    def forward(self, actions: Tensor, present: Tensor, generator: torch.Generator | None = None) -> Effect:
        """Sum the mechanisms of a condition's perturbations.

        Args:
            actions: ``[N, A, E]``.
            present: Which of them there are, bool ``[N, A]``; a condition without any changes nothing.
            generator: Draws masks and effects in training; without, or in evaluation, their expectations are taken.
        """
        there = present.unsqueeze(-1)
        h = self.block(actions)
        mean = self.effect(h)
        logits = log_variance = None
        effect = mean
        if self.mask is not None and self.spread is not None:
            logits, log_variance = self.mask(h), self.spread(h).clamp(-10.0, 2.0)
            effect = self._draw(mean, log_variance, logits, generator)
        shift = (effect * there).sum(dim=1)
        weights = log_scale = None
        if self.rows is not None and self.columns is not None:
            shape = (*h.shape[:2], self.width, self.rank)
            # Parts of one condition join as further ranks, so that the sum of products is one product.
            left = (self.rows(h) * there).view(shape).transpose(1, 2).flatten(2)
            right = self.columns(h).view(shape).transpose(1, 2).flatten(2)
            weights = (left @ right.transpose(1, 2)).tril(-1) / math.sqrt(self.width)
        if self.scale is not None:
            log_scale = (self.scale(h) * there).sum(dim=1)
        return Effect(Mechanism(shift, weights, log_scale), mean, log_variance, logits)

    def _draw(self, mean: Tensor, log_variance: Tensor, logits: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.training or generator is None:
            return torch.sigmoid(logits) * mean
        uniform = torch.rand(logits.shape, generator=generator).clamp(1e-6, 1 - 1e-6).to(logits.device)
        soft = torch.sigmoid((logits + torch.logit(uniform)) / self.temperature)
        on = (soft > 0.5).to(soft.dtype) + soft - soft.detach()
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        return on * (mean + torch.exp(0.5 * log_variance) * noise)
