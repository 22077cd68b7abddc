"""Linear attention: two batched products instead of all pairs of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-6


def linear_attention(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None = None) -> Tensor:
    """Linear attention: ``y = phi(q) (phi(k)^T v) / (phi(q) . sum phi(k) + 1e-6)`` with ``phi = ELU + 1``.

    O(N) in tokens. Computed in at least float32, also under autocast: sums over thousands of positive features do not
    fit into bf16's eight bits, and on a CPU these narrow products (d columns) gain nothing from bf16.

    Args:
        q: Queries ``[B, H, N, d]``.
        k: Keys ``[B, H, S, d]``.
        v: Values ``[B, H, S, d]``.
        keep: False where a key must not count, bool ``[B, S]``. Where no key counts the result is 0.

    Returns:
        ``[B, H, N, d]``, in the dtype of ``v``.

    Source: Katharopoulos et al. 2020, eq. 5 and 7; the constant from the BioJEPAC report v0.4.
    """
    return _apply(q, k, v, keep)


class _LinearAttention(torch.autograd.Function):
    """Forward and gradient written out: recorded op by op, the same steps take 1.5 to 2 times as long on a CPU."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None) -> Tensor:
        wide = torch.promote_types(v.dtype, torch.float32)
        batch, heads = q.shape[:2]
        with torch.autocast(q.device.type, enabled=False):
            phi_q, phi_k = _feature_map(_flat(q, wide)), _feature_map(_flat(k, wide))
            values = _flat(v, wide)
            if keep is not None:
                counted = keep[:, None, :, None].expand(-1, heads, -1, 1).reshape(batch * heads, -1, 1)
                phi_k *= counted
            state = torch.bmm(phi_k.transpose(1, 2), values)
            norm = phi_k.sum(1).unsqueeze(2)
            inverse = torch.bmm(phi_q, norm).add_(EPSILON).reciprocal_()
            out = torch.bmm(phi_q, state).mul_(inverse)
        ctx.shapes, ctx.dtypes = (q.shape, k.shape), (q.dtype, k.dtype, v.dtype)
        ctx.save_for_backward(phi_q, phi_k, values, state, norm, inverse)
        return _apart(out, q.shape, v.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        phi_q, phi_k, values, state, norm, inverse = ctx.saved_tensors
        (of_q, of_k), (type_q, type_k, type_v) = ctx.shapes, ctx.dtypes
        with torch.autocast(grad.device.type, enabled=False):
            # y = (phi_q S) / w with w = phi_q . n + eps: dy/w reaches the numerator, -(dy . y)/w reaches w.
            numerator = _flat(grad, values.dtype).mul_(inverse)
            # y is computed again: a quarter of the memory that all of this would keep.
            weight = torch.bmm(phi_q, state).mul_(inverse).mul_(numerator).sum(2, keepdim=True).neg_()
            # Not baddbmm, which first copies what it adds to.
            grad_q = torch.bmm(numerator, state.transpose(1, 2)).add_(weight * norm.transpose(1, 2))
            grad_state = torch.bmm(phi_q.transpose(1, 2), numerator)
            grad_k = torch.bmm(values, grad_state.transpose(1, 2)).add_(torch.bmm(weight.transpose(1, 2), phi_q))
            grad_v = torch.bmm(phi_k, grad_state)
            # phi' is 1 above zero, where phi >= 1, and phi itself below; a key that does not count has phi = 0.
            grad_q *= phi_q.clamp(max=1)
            grad_k *= phi_k.clamp(max=1)
        return _apart(grad_q, of_q, type_q), _apart(grad_k, of_k, type_k), _apart(grad_v, of_k, type_v), None


def _flat(x: Tensor, dtype: torch.dtype) -> Tensor:
    # A copy of one's own: one pass that converts and brings heads together, [B, H, N, d] -> [B * H, N, d].
    return x.new_empty(x.shape, dtype=dtype).copy_(x).flatten(0, 1)


def _apart(x: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    # The way back in one pass, [B * H, N, d] -> [B, H, N, d]; in memory the heads of a token lie side by side, as the
    # projections around this want them.
    batch, heads, tokens, depth = shape
    out = x.new_empty(batch, tokens, heads, depth, dtype=dtype).transpose(1, 2)
    return out.copy_(x.view(shape))


def _feature_map(x: Tensor) -> Tensor:
    # ELU + 1 = exp(min(x, 0)) + max(x, 0), in place.
    above = x.clamp(min=0)
    return x.clamp_(max=0).exp_().add_(above)


# Typed here, because torch leaves it untyped.
_apply: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor] = _LinearAttention.apply
