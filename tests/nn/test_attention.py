"""Linear attention against the explicit sum over all pairs of tokens."""

import numpy as np
import pytest
import torch

from bench.core.errors import BenchError
from bench.nn.attention import Block, CrossAttention, SelfAttention
from bench.nn.checkpointing import run_blocks
from bench.nn.linear_attention import linear_attention


def explicit(q, k, v, keep=None):
    """The O(N S) sum, in float64 numpy: y_n = sum_s phi(q_n).phi(k_s) v_s / (sum_s phi(q_n).phi(k_s) + 1e-6)."""
    q, k, v = (np.asarray(t.detach().double()) for t in (q, k, v))
    phi = lambda x: np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))  # noqa: E731
    weight = np.einsum("bhnd,bhsd->bhns", phi(q), phi(k))
    if keep is not None:
        weight = weight * np.asarray(keep)[:, None, None, :]
    return np.einsum("bhns,bhsd->bhnd", weight, v) / (weight.sum(-1, keepdims=True) + 1e-6)


def _qkv(batch=2, heads=3, n=11, s=17, depth=4, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    make = lambda t: torch.randn(batch, heads, t, depth, generator=g).to(dtype)  # noqa: E731
    return make(n), make(s), make(s)


def test_linear_attention_equals_the_explicit_sum():
    q, k, v = _qkv()
    np.testing.assert_allclose(linear_attention(q, k, v), explicit(q, k, v), atol=1e-5)
    q, k, v = _qkv(dtype=torch.float64)
    np.testing.assert_allclose(linear_attention(q, k, v), explicit(q, k, v), atol=1e-12)


def test_keys_that_do_not_count():
    q, k, v = _qkv()
    keep = torch.rand(2, 17) < 0.5
    np.testing.assert_allclose(linear_attention(q, k, v, keep), explicit(q, k, v, keep), atol=1e-5)
    assert not linear_attention(q, k, v, torch.zeros(2, 17, dtype=torch.bool)).any()


def test_gradients_by_finite_differences():
    q, k, v = (t.requires_grad_() for t in _qkv(1, 2, 3, 4, 2, torch.float64))
    keep = torch.tensor([[True, False, True, True]])
    assert torch.autograd.gradcheck(linear_attention, (q, k, v))
    assert torch.autograd.gradcheck(lambda *a: linear_attention(*a, keep), (q, k, v))


@pytest.mark.parametrize("tokens", [64, 5000])
def test_sums_survive_bf16_autocast(tokens):
    # 5,000 positive features of about 1 sum to 5,000: a bf16 accumulator would stop growing at 256.
    q, k, v = _qkv(1, 2, tokens, tokens, 32, torch.bfloat16)
    v = v + 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = linear_attention(q, k, v)
    small = slice(0, 50)
    expected = explicit(q[:, :, small], k, v)
    assert ours.dtype == torch.bfloat16
    # One rounding each of the state and of the result: 2 * 2^-8 of values near 1, with a margin.
    np.testing.assert_allclose(ours[:, :, small].double(), expected, atol=0.02)


def test_self_attention_ignores_the_order_of_tokens():
    torch.manual_seed(0)
    block = Block(16, 4).double()
    h = torch.randn(2, 9, 16, dtype=torch.float64)
    order = torch.randperm(9)
    torch.testing.assert_close(block(h)[:, order], block(h[:, order]))


def test_outputs_of_the_last_tokens_only():
    torch.manual_seed(0)
    block = Block(16, 4)
    h = torch.randn(2, 9, 16)
    torch.testing.assert_close(block(h, 5), block(h)[:, 5:])


@pytest.mark.parametrize("softmax", [False, True])
def test_cross_attention_reads_a_set(softmax):
    torch.manual_seed(0)
    cross = CrossAttention(16, 4, softmax=softmax)
    h, source, keep = torch.randn(2, 5, 16), torch.randn(2, 7, 16), torch.tensor([[True] * 4 + [False] * 3] * 2)
    order = torch.randperm(7)
    torch.testing.assert_close(cross(h, source[:, order]), cross(h, source))
    torch.testing.assert_close(cross(h, source, keep), cross(h, source[:, :4]))


def test_a_single_key_makes_linear_attention_blind_to_the_query():
    # Defect A-3 at its root; softmax over one key does the same, which is why `fixed` never has only one.
    torch.manual_seed(0)
    cross = CrossAttention(16, 4)
    out = cross(torch.randn(2, 50, 16), torch.randn(2, 1, 16))
    assert out.std(dim=1).max() < 1e-5
    several = cross(torch.randn(2, 50, 16), torch.randn(2, 4, 16))
    assert several.std(dim=1).max() > 1e-2


def test_checkpointing_gives_the_same_gradients():
    torch.manual_seed(0)
    blocks = torch.nn.ModuleList(Block(16, 4) for _ in range(3))
    h = torch.randn(2, 9, 16, requires_grad=True)
    grads = []
    for recompute in (False, True):
        out = run_blocks(blocks, h, recompute)
        grads.append(torch.autograd.grad(out.square().sum(), [h, *blocks.parameters()]))
    for plain, recomputed in zip(*grads, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_weights_start_as_published():
    torch.manual_seed(0)
    attention = SelfAttention(256, 4)
    std = attention.qkv.weight.std().item()
    # A normal cut at two standard deviations has 0.88 of its standard deviation.
    assert std == pytest.approx(0.8796 / 16, rel=0.01)
    assert attention.qkv.weight.abs().max() <= 2 / 16 and not attention.qkv.bias.any()


def test_heads_must_divide_the_width():
    with pytest.raises(BenchError, match="multiple of heads"):
        SelfAttention(10, 4)
