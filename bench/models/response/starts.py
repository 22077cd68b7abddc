"""What a response starts from: latents of single control cells, or of bags of them where contexts are to be told apart.

In one context every control cell is a possible start. In several, the response is to read the *state of a context* from
cells of it: it is given the mean latent of a bag of cells. Bags are of random size in training, since a head that saw
large bags only is out of its depth with three cells, and one that saw single cells with the mean of many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import nn

from bench.models.response.config import CELLS
from bench.nn.encoder import Encoded

#: ``(context [B], generator) -> encoded starts``; without a generator some fixed ones of each context, ``[B * n]``.
Starts: TypeAlias = Callable[[torch.Tensor, "torch.Generator | None"], Encoded]


class Between(nn.Module):
    """Standardises mean latents between contexts.

    Contexts differ by a fraction of what cells do: at the cells' scale, what is to be read is small beside the weights
    that read it. One scale serves all dimensions, so that a direction in which contexts hardly differ stays small.

    Attributes:
        mean: Mean over train contexts of their mean latents ``[D]``.
        sd: Root mean square over dimensions of their SD ``[]``.
    """

    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, mean: torch.Tensor, sd: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("sd", sd)

    @classmethod
    def none(cls, width: int) -> Between:
        """Leaves latents as they are."""
        return cls(torch.zeros(width), torch.ones(()))

    @classmethod
    def of(cls, means: torch.Tensor) -> Between:
        """Of the mean latents of train contexts ``[C, D]``."""
        mean = means.mean(dim=0)
        sd = (means - mean).square().sum(dim=0).div(len(means) - 1).mean().sqrt()
        # An encoder that gives every cell the same latent has nothing to be scaled.
        return cls(mean, sd if sd > 1e-6 * means.abs().max().clamp_min(1e-6) else torch.ones(()))

    def forward(self, bags: torch.Tensor) -> torch.Tensor:
        """Standardise ``[B, D]``."""
        return (bags - self.mean) / self.sd


def latent_starts(pooled: Sequence[torch.Tensor]) -> Starts:
    """Single cells by their pooled latents, standardised, by context ``[n, D]`` each."""

    def start(context: torch.Tensor, generator: torch.Generator | None) -> Encoded:
        taken = _take(pooled, context, generator)
        return Encoded(taken[:, None], taken)

    return start


def cell_starts(cells: Sequence[torch.Tensor], encode: Callable[[torch.Tensor], Encoded]) -> Starts:
    """Single cells ``[n, G]`` by context, to be encoded where tokens are needed."""

    def start(context: torch.Tensor, generator: torch.Generator | None) -> Encoded:
        return encode(_take(cells, context, generator))

    return start


def bag_starts(pooled: Sequence[torch.Tensor], between: Between) -> Starts:
    """Mean latents of bags of cells of a context; without a generator one bag of all of them.

    The size of a bag is log-uniform from 1 to all cells of the context.
    """
    whole = torch.stack([cells.mean(dim=0) for cells in pooled])
    flat = torch.cat(list(pooled))
    counts = torch.tensor([len(cells) for cells in pooled])
    first = counts.cumsum(0) - counts

    def start(context: torch.Tensor, generator: torch.Generator | None) -> Encoded:
        if generator is None:
            bags = whole[context]
        else:
            n = counts[context]
            u = torch.rand(len(context), generator=generator)
            size = (n + 1.0).pow(u).long().clamp(min=1).minimum(n)
            bag = torch.arange(len(context)).repeat_interleave(size)
            place = (torch.rand(len(bag), generator=generator) * n[bag]).long().minimum(n[bag] - 1)
            taken = flat[first[context][bag] + place]
            bags = torch.zeros(len(context), flat.shape[1]).index_add_(0, bag, taken) / size[:, None]
        bags = between(bags)
        return Encoded(bags[:, None], bags)

    return start


def _take(pool: Sequence[torch.Tensor], context: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    if generator is None:
        which = torch.arange(CELLS).repeat(len(context))
        context = context.repeat_interleave(CELLS)
    else:
        which = torch.randint(2**31, (len(context),), generator=generator)
    return torch.stack([pool[c][w % len(pool[c])] for c, w in zip(context.tolist(), which.tolist(), strict=True)])
