"""NT-Xent against torch's cross entropy on a similarity matrix made by hand."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from bench.objectives.simclr import nt_xent


def pair(n=6, d=4):
    g = torch.Generator().manual_seed(0)
    return (torch.randn(n, d, generator=g, dtype=torch.float64) for _ in range(2))


def by_hand(a, b, temperature):
    """Rows of similarities to all *other* views, the true partner first."""
    z, n = [*a, *b], len(a)
    rows = []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [partner, *(k for k in range(2 * n) if k not in (i, partner))]
        rows.append(torch.stack([F.cosine_similarity(z[i], z[k], dim=0) for k in others]) / temperature)
    return F.cross_entropy(torch.stack(rows), torch.zeros(2 * n, dtype=torch.int64))


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_equals_cross_entropy_on_a_matrix_made_by_hand(temperature):
    a, b = pair()
    torch.testing.assert_close(nt_xent(a, b, temperature), by_hand(a, b, temperature))


def test_neither_order_nor_scale_nor_which_view_is_first_matters():
    a, b = pair()
    loss = nt_xent(a, b, 0.5)
    order = torch.randperm(len(a), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(nt_xent(a[order], b[order], 0.5), loss)
    torch.testing.assert_close(nt_xent(b, a, 0.5), loss)
    torch.testing.assert_close(nt_xent(7 * a, b * torch.arange(1, 7)[:, None], 0.5), loss)
    assert not torch.allclose(nt_xent(a[order], b, 0.5), loss)  # other pairs are another loss


def test_at_its_ends():
    same = torch.ones(8, 3)
    assert nt_xent(same, same, 0.5).item() == pytest.approx(math.log(15), abs=1e-6)
    apart = torch.eye(8)
    # The partner at cosine 1, the 14 others at 0.
    assert nt_xent(apart, apart, 0.5).item() == pytest.approx(math.log(1 + 14 * math.exp(-2)), abs=1e-6)


def test_gradients_and_bf16():
    a, b = pair(4, 3)
    assert gradcheck(lambda x, y: nt_xent(x, y, 0.5), (a.requires_grad_(), b.requires_grad_()))
    c = a.detach().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = nt_xent(c, c, 0.5)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, nt_xent(c.float(), c.float(), 0.5))
