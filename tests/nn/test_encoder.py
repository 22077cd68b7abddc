"""Encoders: what enters, what does not, and the published size."""

import math

import pytest
import torch

from bench.core.errors import BenchError
from bench.nn.encoder import Encoder, GeneTransformer, MLPEncoder, build_encoder
from bench.nn.masking import bernoulli_mask, exact_mask
from bench.nn.predictor import TokenMaskedPredictor, VectorMaskedPredictor

GENES = 20


def _cells(batch=4, genes=GENES, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(batch, genes, generator=g) * (torch.rand(batch, genes, generator=g) < 0.7)


def _mask(batch=4, genes=GENES, ratio=0.6, seed=0):
    return exact_mask(batch, genes, ratio, torch.Generator().manual_seed(seed))


def _encoder(kind, identity="fixed", **options) -> Encoder:
    torch.manual_seed(0)
    encoder = build_encoder(kind, GENES, 16, 2, 4, identity, **options)
    # Let everything that starts at zero act, or a test of what enters would prove nothing.
    with torch.no_grad():
        for parameter in encoder.parameters():
            if not parameter.any():
                parameter.normal_(std=0.3)
    return encoder


def _size(module):
    return sum(p.numel() for p in module.parameters())


def test_published_parameter_counts():
    with torch.device("meta"):
        assert _size(GeneTransformer(5000, 256, 6, 4, "report")) == 6_019_840
        assert _size(TokenMaskedPredictor(256, 6, 4, 5000, "report")) == 4_804_864
        assert _size(TokenMaskedPredictor(256, 3, 4, 5000, "report")) == 2_435_584


KINDS = [("mlp", "fixed"), ("gene_transformer", "fixed"), ("gene_transformer", "report")]


@pytest.mark.parametrize(("kind", "identity"), KINDS)
def test_shapes(kind, identity):
    encoder, x, mask = _encoder(kind, identity), _cells(), _mask()
    for given, tokens in [(None, GENES), (mask, GENES if identity == "report" else 8), (mask.hidden, None)]:
        out = encoder(x, given)
        assert out.pooled.shape == (4, encoder.width) == (4, 16)
        assert out.tokens.shape[0] == 4 and out.tokens.shape[2] == 16
        if tokens is not None:
            assert out.tokens.shape[1] == (1 if kind == "mlp" else tokens)


@pytest.mark.parametrize(("kind", "identity"), KINDS)
def test_hidden_values_never_enter(kind, identity):
    encoder, x, mask = _encoder(kind, identity), _cells(), _mask()
    # Exchange the values of hidden genes among themselves: the cell's total, which does enter, stays.
    other = x.clone()
    for row in range(len(x)):
        hidden = mask.masked[row]
        other[row, hidden] = x[row, hidden.flip(0)]
    assert not torch.equal(x, other)
    torch.testing.assert_close(encoder(other, mask).pooled, encoder(x, mask).pooled, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder(other, mask).tokens, encoder(x, mask).tokens, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(encoder(other).pooled, encoder(x).pooled, atol=1e-4)
    # And the total is that of the whole cell: more of a hidden gene is noticed through it, and only through it.
    other[:, :] = x
    other[torch.arange(4), mask.masked[:, 0]] += 5
    assert not torch.allclose(encoder(other, mask).pooled, encoder(x, mask).pooled, atol=1e-4)


def test_which_genes_are_hidden_enters_the_mlp():
    encoder, x = _encoder("mlp"), torch.zeros(1, GENES)
    assert not torch.allclose(encoder(x, _mask(1)).pooled, encoder(x, _mask(1, seed=1)).pooled, atol=1e-4)
    nothing_hidden = torch.zeros(4, GENES, dtype=torch.bool)
    torch.testing.assert_close(encoder(_cells(), nothing_hidden).pooled, encoder(_cells()).pooled)


def test_mlp_is_the_layer_on_expression_flags_and_total():
    encoder, x, mask = _encoder("mlp"), _cells(), _mask()
    flags = encoder.flags[1].weight @ encoder.flags[0].weight
    weight = torch.cat([encoder.expression.weight, flags, encoder.total.weight], dim=1)
    hidden = mask.hidden.float()
    inputs = torch.cat([x * (1 - hidden), hidden, torch.log1p(x.sum(1, keepdim=True))], dim=1)
    expected = encoder.out(encoder.blocks(inputs @ weight.T + encoder.expression.bias))
    torch.testing.assert_close(encoder(x, mask).pooled, expected, atol=1e-5, rtol=1e-5)


def test_masked_tokens_of_report_have_no_identity_and_those_of_fixed_do():
    # Defect A-1: one prediction for all hidden genes of a cell.
    x, mask = _cells(), _mask()
    student = _encoder("gene_transformer", "report")
    torch.manual_seed(0)
    predicted = TokenMaskedPredictor(16, 2, 4, GENES, "report")(student(x, mask), mask)
    assert predicted.shape == (4, GENES, 16)
    for cell, hidden in zip(predicted, mask.hidden, strict=True):
        assert (cell[hidden] - cell[hidden][0]).abs().max() == 0.0
        assert cell[~hidden].std(dim=0).max() > 1e-3
    student = _encoder("gene_transformer", "fixed")
    for context in ("all", "pooled"):
        torch.manual_seed(0)
        fixed = TokenMaskedPredictor(16, 2, 4, GENES, "fixed", context)(student(x, mask), mask)
        assert fixed.shape == (4, 12, 16)
        assert fixed.std(dim=1).min() > 1e-3


def test_zero_genes_of_report_share_a_latent_even_unmasked():
    x = _cells(1)
    zeros = (x[0] == 0).nonzero()[:, 0]
    assert len(zeros) > 1
    for identity, spread in [("report", 0.0), ("fixed", None)]:
        tokens = _encoder("gene_transformer", identity)(x).tokens[0, zeros]
        gap = (tokens - tokens[0]).abs().max()
        assert gap == spread if spread is not None else gap > 1e-2


def test_fixed_encodes_visible_tokens_as_if_there_were_no_others():
    # The gathered form equals the formula on the visible genes alone.
    encoder, x, mask = _encoder("gene_transformer"), _cells(), _mask()
    rows = []
    for row in range(4):
        seen = mask.visible[row]
        small = GeneTransformer(len(seen), 16, 2, 4)
        small.load_state_dict({**encoder.state_dict(), "embedding": encoder.embedding[seen]})
        # The total is the whole cell's: give the small encoder that of the large one.
        tokens = small._fixed_tokens(x[row : row + 1, seen], None)
        h = tokens + encoder.total(torch.log1p(x[row].sum()).reshape(1, 1))
        for block in small.blocks:
            h = block(h)
        rows.append(small.norm(h))
    torch.testing.assert_close(encoder(x, mask).tokens, torch.cat(rows), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("identity", ["report", "fixed"])
def test_genes_are_a_set(identity):
    encoder, x, mask = _encoder("gene_transformer", identity).double(), _cells().double(), _mask()
    order = torch.randperm(GENES)
    before, masked_before = encoder(x), encoder(x, mask).pooled
    with torch.no_grad():
        encoder.embedding.copy_(encoder.embedding[order].clone())
    after = encoder(x[:, order])
    torch.testing.assert_close(after.tokens, before.tokens[:, order], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(after.pooled, before.pooled, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(encoder(x[:, order], mask.hidden[:, order]).pooled, masked_before, atol=1e-6, rtol=1e-6)


def test_total_is_the_log_of_the_row_sum():
    from bench.nn.encoding import log_total

    assert log_total(torch.tensor([[1.0, 2.0], [0.0, 0.0]])).tolist() == [
        [pytest.approx(math.log(4), abs=1e-6)],
        [0.0],
    ]


@pytest.mark.parametrize("identity", ["report", "fixed"])
def test_checkpointed_encoder_has_the_same_gradients(identity):
    x, mask, grads = _cells(), _mask(), []
    for recompute in (False, True):
        encoder = _encoder("gene_transformer", identity, checkpoint_activations=recompute)
        grads.append(torch.autograd.grad(encoder(x, mask).tokens.square().sum(), list(encoder.parameters())))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("kind", "identity"), KINDS)
def test_every_parameter_learns(kind, identity):
    encoder, x, mask = _encoder(kind, identity), _cells(), _mask()
    (encoder(x, mask).tokens * torch.randn(16)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize("identity", ["report", "fixed"])
def test_bf16_autocast_stays_close(identity):
    encoder, x = _encoder("gene_transformer", identity), _cells()
    exact = encoder(x).pooled
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = encoder(x).pooled
    torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0.05)


def test_bad_input_is_refused():
    with pytest.raises(BenchError, match=r"expected \[cells, 20\]"):
        _encoder("mlp")(torch.zeros(2, 3))
    with pytest.raises(BenchError, match="unknown encoder 'mpl'. Did you mean 'mlp'"):
        build_encoder("mpl", 5, 4, 1)
    with pytest.raises(BenchError, match="unknown token identity"):
        build_encoder("mlp", 5, 4, 1, identity="x")
    ragged = bernoulli_mask(4, GENES, 0.5, torch.Generator().manual_seed(0))
    with pytest.raises(BenchError, match="same number in every cell"):
        _encoder("gene_transformer")(_cells(), ragged)
    assert _encoder("gene_transformer", "report")(_cells(), ragged).tokens.shape == (4, GENES, 16)


def test_masked_predictors_check_what_they_are_given():
    x, mask = _cells(), _mask()
    fixed, report = _encoder("gene_transformer"), _encoder("gene_transformer", "report")
    with pytest.raises(BenchError, match="identity 'report'"):
        TokenMaskedPredictor(16, 1, 4, GENES, "report")(fixed(x, mask), mask)
    with pytest.raises(BenchError, match="8 visible genes"):
        TokenMaskedPredictor(16, 1, 4, GENES, "fixed")(report(x, mask), mask)
    with pytest.raises(BenchError, match="unknown predictor context"):
        TokenMaskedPredictor(16, 1, 4, GENES, "fixed", "some")
    with pytest.raises(BenchError, match="unknown token identity"):
        TokenMaskedPredictor(16, 1, 4, GENES, "some")
    with pytest.raises(BenchError, match="expected at least 1"):
        TokenMaskedPredictor(16, 0, 4, GENES)


@pytest.mark.parametrize("context", ["all", "pooled"])
def test_a_prediction_belongs_to_its_gene(context):
    # Asking for the same hidden genes in another order gives the same answers in that order.
    x, mask = _cells(), _mask()
    student = _encoder("gene_transformer")(x, mask)
    torch.manual_seed(1)
    predictor = TokenMaskedPredictor(16, 2, 4, GENES, "fixed", context)
    swapped = mask._replace(masked=mask.masked.flip(1))
    torch.testing.assert_close(predictor(student, swapped).flip(1), predictor(student, mask), atol=1e-5, rtol=1e-5)
    backwards = student._replace(tokens=student.tokens.flip(1))
    torch.testing.assert_close(predictor(backwards, mask), predictor(student, mask), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("context", ["all", "pooled"])
def test_every_parameter_of_a_masked_predictor_learns(context):
    x, mask = _cells(), _mask()
    predictor = TokenMaskedPredictor(16, 2, 4, GENES, "fixed", context)
    (predictor(_encoder("gene_transformer")(x, mask), mask) * torch.randn(16)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in predictor.parameters())


def test_vector_predictor_knows_which_genes_were_hidden():
    encoder, x = _encoder("mlp"), _cells()
    predictor = VectorMaskedPredictor(16, GENES, 32)
    torch.nn.init.normal_(predictor.flags.weight)
    out = encoder(x, _mask())
    assert predictor(out, _mask()).shape == (4, 1, 16)
    assert not torch.allclose(predictor(out, _mask()), predictor(out, _mask(seed=1)))
    assert isinstance(encoder, MLPEncoder)
