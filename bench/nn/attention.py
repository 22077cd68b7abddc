"""Attention whose cost is linear in the number of genes, and the blocks made of it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bench.core.errors import BenchError
from bench.nn.initialise import linear
from bench.nn.linear_attention import linear_attention

MLP_RATIO = 4


def _heads(x: Tensor, heads: int) -> Tensor:
    batch, tokens, width = x.shape
    return x.view(batch, tokens, heads, width // heads).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    batch, heads, tokens, depth = x.shape
    return x.transpose(1, 2).reshape(batch, tokens, heads * depth)


def _check(width: int, heads: int) -> None:
    if width % heads:
        raise BenchError(f"width {width} is not a multiple of heads {heads}; expected e.g. width {heads * 32}.")


class SelfAttention(nn.Module):
    """Linear self-attention with one fused projection for queries, keys and values; biases on all projections.

    Args:
        width: Token width ``D``.
        heads: Heads ``H``, a divisor of ``D``.

    Raises:
        BenchError: If ``D`` is not a multiple of ``H``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        _check(width, heads)
        self.width, self.heads = width, heads
        self.qkv = linear(width, 3 * width)
        self.out = linear(width, width)

    def forward(self, h: Tensor, start: int = 0) -> Tensor:
        """Attend, ``[B, N, D] -> [B, N - start, D]``.

        Args:
            h: Tokens ``[B, N, D]``.
            start: Tokens before this one are keys and values only.
        """
        if start:
            weight, bias, width = self.qkv.weight, self.qkv.bias, self.width
            q = F.linear(h[:, start:], weight[:width], bias[:width])
            k, v = F.linear(h, weight[width:], bias[width:]).chunk(2, dim=-1)
        else:
            q, k, v = self.qkv(h).chunk(3, dim=-1)
        mixed = linear_attention(_heads(q, self.heads), _heads(k, self.heads), _heads(v, self.heads))
        out: Tensor = self.out(_join(mixed))
        return out


class CrossAttention(nn.Module):
    """Attention from one set of tokens to another, linear or softmax.

    Softmax suits few keys: linear attention to a single key returns its value whatever the query (defect A-3).

    Args:
        width: Token width ``D``.
        heads: Heads ``H``, a divisor of ``D``.
        softmax: Softmax attention (Vaswani et al. 2017) instead of linear.

    Raises:
        BenchError: If ``D`` is not a multiple of ``H``.
    """

    def __init__(self, width: int, heads: int, *, softmax: bool = False) -> None:
        super().__init__()
        _check(width, heads)
        self.heads, self.softmax = heads, softmax
        self.q = linear(width, width)
        self.kv = linear(width, 2 * width)
        self.out = linear(width, width)

    def forward(self, h: Tensor, source: Tensor, keep: Tensor | None = None) -> Tensor:
        """Attend from ``h`` to ``source``.

        Args:
            h: Queries ``[B, N, D]``.
            source: Tokens to read ``[B, S, D]``.
            keep: False where a source token is absent, bool ``[B, S]``.

        Returns:
            ``[B, N, D]``.
        """
        return self.mix(self.q(h), source, keep)

    def mix(self, q: Tensor, source: Tensor, keep: Tensor | None = None) -> Tensor:
        """As :meth:`forward`, from projected queries ``[B, N, D]``."""
        k, v = self.kv(source).chunk(2, dim=-1)
        q, k, v = _heads(q, self.heads), _heads(k, self.heads), _heads(v, self.heads)
        if self.softmax:
            allowed = None if keep is None else keep[:, None, None, :]
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        else:
            mixed = linear_attention(q, k, v, keep)
        out: Tensor = self.out(_join(mixed))
        return out


class FeedForward(nn.Module):
    """``W2 GELU(W1 h)`` with a hidden width of four times ``D``.

    Args:
        width: Token width ``D``.
        tanh_gelu: Approximate GELU by tanh, as published; on a CPU that is two to four times as slow as the exact one.
    """

    def __init__(self, width: int, *, tanh_gelu: bool = False) -> None:
        super().__init__()
        self.gelu = "tanh" if tanh_gelu else "none"
        self.up = linear(width, MLP_RATIO * width)
        self.down = linear(MLP_RATIO * width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Apply to each token, ``[B, N, D] -> [B, N, D]``."""
        out: Tensor = self.down(F.gelu(self.up(h), approximate=self.gelu))
        return out


class Block(nn.Module):
    """Pre-norm block: ``h += Attention(LN h); h += MLP(LN h)``.

    Args:
        width: Token width ``D``.
        heads: Heads, a divisor of ``D``.
        tanh_gelu: See :class:`FeedForward`.

    Source: BioJEPAC report v0.4. No dropout, no positions: genes are a set.
    """

    def __init__(self, width: int, heads: int, *, tanh_gelu: bool = False) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = FeedForward(width, tanh_gelu=tanh_gelu)

    def forward(self, h: Tensor, start: int = 0) -> Tensor:
        """Apply the block, ``[B, N, D] -> [B, N - start, D]``.

        Args:
            h: Tokens ``[B, N, D]``.
            start: Tokens before this one are only read from: the last block of a predictor needs no more of them.
        """
        kept = h[:, start:] if start else h
        h = kept + self.attention(self.norm_attention(h), start)
        update: Tensor = self.mlp(self.norm_mlp(h))
        return h + update
