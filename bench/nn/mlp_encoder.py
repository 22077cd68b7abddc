"""The encoder for CPU budgets: one vector per cell from a residual MLP."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.encoding import Encoded, Encoder, log_total
from bench.nn.initialise import linear
from bench.nn.masking import Mask, hidden_of

FLAG_CHANNELS = 32


class ResidualMLP(nn.Module):
    """Pre-norm residual block ``h + W2 GELU(W1 LN(h))`` on vectors ``[B, hidden]``."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.up = linear(hidden, hidden)
        self.down = linear(hidden, hidden)

    def forward(self, h: Tensor) -> Tensor:
        """Apply the block, ``[B, hidden] -> [B, hidden]``."""
        branch: Tensor = self.down(F.gelu(self.up(self.norm(h))))
        return h + branch


class MLPEncoder(Encoder):
    """Expression, mask flags and total in; ``depth`` residual blocks; one vector out, without a norm.

    Without a norm on the output its scale stays free, which VICReg-like terms act on.

    Args:
        genes: Genes ``G``.
        width: Width ``D`` of the output.
        depth: Residual blocks.
        hidden: Width of the blocks.
    """

    def __init__(self, genes: int, width: int, depth: int = 2, hidden: int = 256) -> None:
        super().__init__(genes, width)
        self.expression = linear(genes, hidden)
        # Flags as wide as the expression would double the cost of the widest layer; what the network needs of them (how
        # much is missing, and of what kind) fits through a few channels. Without flags they add nothing: unmasked cells
        # skip them.
        self.flags = nn.Sequential(
            linear(genes, FLAG_CHANNELS, bias=False), linear(FLAG_CHANNELS, hidden, bias=False, zero=True)
        )
        self.total = linear(1, hidden, bias=False, zero=True)
        self.blocks = nn.Sequential(*(ResidualMLP(hidden) for _ in range(depth)))
        self.out = linear(hidden, width)

    def forward(self, x: Tensor, mask: Mask | Tensor | None = None) -> Encoded:
        """Encode a batch; see :meth:`Encoder.forward`. T = 1."""
        self._check(x)
        total = self.total(log_total(x))
        if mask is None:
            h = self.expression(x)
        else:
            hidden = hidden_of(mask)
            # A product with the flags, because choosing (where, masked_fill) is four times as slow on a CPU.
            h = self.expression(x * ~hidden) + self.flags(hidden.to(x.dtype))
        pooled: Tensor = self.out(self.blocks(h + total))
        return Encoded(pooled[:, None], pooled)
