"""The predictor on pooled latents: a residual MLP steered by the action."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.action_predictor import ActionPredictor, action_sum, check_actions, clamp_logvar
from bench.nn.encoding import Encoded
from bench.nn.initialise import linear


class FilmBlock(nn.Module):
    """``h + W2 GELU(W1 (LN(h) * (1 + s(a)) + t(a)))`` on vectors.

    Args:
        hidden: Width of the vectors.
        action_width: Action width ``E``.

    Source: feature-wise linear modulation, Perez et al. 2018.
    """

    def __init__(self, hidden: int, action_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.modulation = linear(action_width, 2 * hidden)
        self.up = linear(hidden, hidden)
        self.down = linear(hidden, hidden)

    def forward(self, h: Tensor, action: Tensor) -> Tensor:
        """Apply to ``h`` ``[B, hidden]`` under ``action`` ``[B, E]``."""
        scale, shift = self.modulation(action).chunk(2, dim=-1)
        branch: Tensor = self.down(F.gelu(self.up(torch.addcmul(shift, self.norm(h), 1 + scale))))
        return h + branch


class FilmPredictor(ActionPredictor):
    """Pooled context; the action set enters as its sum.

    A direct linear path from the action to the output makes the additive model of combinations (the sum of the singles'
    effects) the simplest thing to learn; the blocks add what depends on the cell or on the combination.

    Args:
        width: Width ``D`` of the pooled context.
        action_width: Action width ``E``.
        depth: Blocks.
        hidden: Width of the blocks.
        out_width: Width of the output; that of the context if not given.
    """

    def __init__(
        self, width: int, action_width: int, depth: int = 2, hidden: int = 256, out_width: int | None = None
    ) -> None:
        super().__init__()
        out_width = out_width or width
        self.action_width = action_width
        self.enter = linear(width, hidden)
        self.blocks = nn.ModuleList(FilmBlock(hidden, action_width) for _ in range(depth))
        self.norm = nn.LayerNorm(hidden)
        self.mean = linear(hidden, out_width)
        self.direct = linear(action_width, out_width, bias=False)
        # Starts at unit variance everywhere, so that early steps fit the mean.
        self.logvar = linear(hidden, out_width, zero=True)

    def forward(self, context: Encoded, actions: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Predict; see :meth:`ActionPredictor.forward`. T = 1."""
        check_actions(actions, present, self.action_width)
        action = action_sum(actions, present)
        h = self._steered(context.pooled, action)
        mean = self.mean(h) + self.direct(action)
        return mean[:, None], clamp_logvar(self.logvar(h))[:, None]

    def mean_over_cells(self, pooled: Tensor, action: Tensor) -> Tensor:
        """Mean over all cells of the predicted mean, under each of many actions: as one by one, and much faster.

        Args:
            pooled: Of the cells ``[B, D]``.
            action: Sum of each action set ``[S, E]``.

        Returns:
            ``[S, out_width]``.
        """
        h = self._steered(pooled[None], action[:, None]).mean(dim=1)
        mean: Tensor = self.mean(h) + self.direct(action)  # what is left is linear: the mean over cells comes first
        return mean

    def _steered(self, pooled: Tensor, action: Tensor) -> Tensor:
        h: Tensor = self.enter(pooled)
        for block in self.blocks:
            h = block(h, action)
        out: Tensor = self.norm(h)
        return out
