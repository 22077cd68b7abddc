"""A plain re-statement of the published JEPA recipe, op by op: what our own is compared with."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.encoding import Encoded
from bench.nn.initialise import linear

MASK, MOMENTUM = 0.6, 0.996
INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0


class PlainAttention(nn.Module):
    """Linear attention, op by op."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = linear(width, 3 * width), linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        batch, tokens, width = h.shape
        q, k, v = (
            part.view(batch, tokens, self.heads, -1).transpose(1, 2) for part in self.qkv(h).split(width, dim=-1)
        )
        q, k = F.elu(q) + 1, F.elu(k) + 1
        weight = (q * k.sum(2, keepdim=True)).sum(-1, keepdim=True) + 1e-6
        y = (q @ (k.transpose(2, 3) @ v)) / weight
        return self.out(y.transpose(1, 2).reshape(batch, tokens, width))


class PlainBlock(nn.Module):
    """Pre-norm block; GELU by tanh, as published."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention, self.norm1, self.norm2 = PlainAttention(width, heads), nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(linear(width, 4 * width), nn.GELU(approximate="tanh"), linear(4 * width, width))

    def forward(self, h: Tensor) -> Tensor:
        h = h + self.attention(self.norm1(h))
        return h + self.mlp(self.norm2(h))


class PlainEncoder(nn.Module):
    """All tokens, always. As published: ``x_i * e_i``; with gene identity: ``e_i + x_i * w_i``, hidden ``e_i + m``."""

    def __init__(self, genes: int, width: int, depth: int, heads: int, identity: bool) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.randn(genes, width) * (1.0 if identity else 0.02))
        self.gene = nn.Parameter(torch.randn(genes, width)) if identity else None
        self.hidden = nn.Parameter(torch.randn(width) * 0.02)
        self.total = linear(1, width, zero=identity)
        self.blocks = nn.Sequential(*(PlainBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Encoded:
        tokens = x[..., None] * self.slope
        if hidden is not None:
            tokens = torch.where(hidden[..., None], self.hidden, tokens)
        if self.gene is not None:
            tokens = tokens + self.gene
        tokens = tokens + self.total(torch.log1p(x.sum(1, keepdim=True)))[:, None]
        out = self.norm(self.blocks(tokens))
        return Encoded(out, out.mean(1))


def spread(z: Tensor) -> Tensor:
    """Variance hinge and covariance term of VICReg on rows ``[N, D]``, weighted."""
    hinge = torch.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean()
    z = z - z.mean(0)
    cov = z.T @ z / (len(z) - 1)
    return VARIANCE * hinge + COVARIANCE * (cov - torch.diag(cov.diagonal())).square().sum() / z.shape[1]


class Plain(nn.Module):
    """The published recipe (BioJEPAC report v0.4, its code where the two differ)."""

    def __init__(self, genes: int, width: int, depth: int, heads: int, identity: bool = False) -> None:
        super().__init__()
        self.student = PlainEncoder(genes, width, depth, heads, identity)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        blocks = (PlainBlock(width, heads) for _ in range(depth))
        self.predictor = nn.Sequential(*blocks, nn.LayerNorm(width), linear(width, width))
        self.identity = identity

    def loss(self, cells: Tensor, generator: torch.Generator) -> Tensor:
        hidden = (torch.rand(cells.shape, generator=generator) < MASK).to(cells.device)
        with torch.no_grad():
            target = self.teacher(cells)
        context = self.student(cells, hidden)
        predicted = self.predictor(context.tokens)
        loss = INVARIANCE * F.l1_loss(predicted[hidden], target.tokens[hidden])
        if self.identity:
            return loss + spread(context.pooled)
        return loss + spread(context.tokens.flatten(0, 1)) + spread(target.tokens.flatten(0, 1))

    def average(self) -> None:
        with torch.no_grad():
            for mine, its in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                mine.mul_(MOMENTUM).add_(its, alpha=1 - MOMENTUM)
