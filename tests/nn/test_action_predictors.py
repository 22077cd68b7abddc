"""Action-conditioned predictors: sets of actions, the published size, defect A-3."""

import pytest
import torch

from bench.core.errors import BenchError
from bench.nn.encoder import Encoded
from bench.nn.predictor import FilmPredictor, FixedPredictor, ReportPredictor

GENES, WIDTH, ACTION = 12, 16, 8


def _predictor(kind, **options):
    torch.manual_seed(0)
    made = {
        "film": lambda: FilmPredictor(WIDTH, ACTION, 2, 32),
        "report": lambda: ReportPredictor(GENES, WIDTH, ACTION, 2, 4, **options),
        "fixed": lambda: FixedPredictor(GENES, WIDTH, ACTION, 2, 4, **options),
    }[kind]()
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(std=0.3)
    return made


def _context(batch=3):
    tokens = torch.randn(batch, GENES, WIDTH, generator=torch.Generator().manual_seed(1))
    return Encoded(tokens, tokens.mean(1))


def _actions(batch=3, n=3):
    return torch.randn(batch, n, ACTION, generator=torch.Generator().manual_seed(2))


KINDS = ["film", "report", "fixed"]


def test_published_parameter_count():
    with torch.device("meta"):
        predictor = ReportPredictor(5000, 256, 320, 6, 4)
    assert sum(p.numel() for p in predictor.parameters()) == 7_881_216


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_range(kind):
    predictor, present = _predictor(kind), torch.ones(3, 3, dtype=torch.bool)
    mean, logvar = predictor(_context(), 100 * _actions(), present)
    assert mean.shape == logvar.shape == (3, 1 if kind == "film" else GENES, WIDTH)
    assert logvar.min() >= -10 and logvar.max() <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_actions_are_a_set_and_absent_ones_change_nothing(kind):
    predictor, context, actions = _predictor(kind), _context(), _actions()
    present = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    out = predictor(context, actions, present)
    order = torch.tensor([2, 0, 1])
    for a, b in zip(predictor(context, actions[:, order], present[:, order]), out, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    noise = torch.where(present[..., None], actions, 100.0)
    for a, b in zip(predictor(context, noise, present), out, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    for a, b in zip(predictor(context, actions[:, :2], present[:, :2]), out, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    other = predictor(context, actions + 1, present)[0]
    assert not torch.allclose(other[0], out[0][0], atol=1e-3)
    torch.testing.assert_close(other[2], out[0][2])


def _cross_outputs(predictor, context, actions, present):
    caught = []
    hooks = [b.cross.register_forward_hook(lambda m, i, o: caught.append(o.detach())) for b in predictor.blocks]
    predictor(context, actions, present)
    for hook in hooks:
        hook.remove()
    return torch.stack(caught)


def test_one_action_token_is_the_same_for_every_gene_in_report_and_not_in_fixed():
    # Defect A-3.
    one = torch.ones(3, 1, dtype=torch.bool)
    report = _cross_outputs(_predictor("report"), _context(), _actions(n=1), one)
    assert report.std(dim=2).max() < 1e-5
    fixed = _cross_outputs(_predictor("fixed"), _context(), _actions(n=1), one)
    assert fixed.std(dim=2).max() > 1e-2


def test_gene_and_action_interact_in_fixed():
    # The effect of replacing one action by another differs between genes, at the output.
    predictor, context, one = _predictor("fixed"), _context(1), torch.ones(1, 1, dtype=torch.bool)
    a, b = (predictor(context, x, one)[0] for x in (_actions(1, 1), -_actions(1, 1)))
    assert (a - b).std(dim=1).mean() > 1e-2


def test_film_without_blocks_is_additive_in_the_actions():
    torch.manual_seed(0)
    predictor, context = FilmPredictor(WIDTH, ACTION, 0, 32, out_width=5), _context()
    actions, none = _actions(n=2), torch.zeros(3, 2, dtype=torch.bool)
    base = predictor(context, actions, none)[0]
    shifts = [predictor(context, actions, torch.tensor([[i == 0, i == 1]] * 3))[0] - base for i in range(2)]
    both = predictor(context, actions, ~none)[0] - base
    assert base.shape == (3, 1, 5)
    torch.testing.assert_close(both, shifts[0] + shifts[1])
    torch.testing.assert_close(both[:, 0], actions.sum(1) @ predictor.direct.weight.T)


@pytest.mark.parametrize("kind", ["report", "fixed"])
def test_checkpointing_gives_the_same_gradients(kind):
    grads = []
    for recompute in (False, True):
        predictor = _predictor(kind, checkpoint_activations=recompute)
        mean, logvar = predictor(_context(), _actions(), torch.ones(3, 3, dtype=torch.bool))
        grads.append(torch.autograd.grad((mean.square() + logvar).sum(), list(predictor.parameters())))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_fixed_reads_a_pooled_context_of_any_length_and_own_tokens_on_request():
    present, actions = torch.ones(3, 3, dtype=torch.bool), _actions()
    single = _context()._replace(tokens=_context().pooled[:, None])
    assert _predictor("fixed")(single, actions, present)[0].shape == (3, GENES, WIDTH)
    own = _predictor("fixed", own_token=True)
    changed = _context()
    changed.tokens[:, 0] += 1
    before, after = own(_context(), actions, present)[0], own(changed, actions, present)[0]
    gap = (after - before).abs().mean(dim=(0, 2))
    assert gap[0] > 3 * gap[1:].max()
    with pytest.raises(BenchError, match="one context token per gene"):
        own(single, actions, present)


def test_bad_input_is_refused():
    present = torch.ones(3, 3, dtype=torch.bool)
    with pytest.raises(BenchError, match=r"expected \[cells, actions, 8\]"):
        _predictor("film")(_context(), _actions()[..., :4], present)
    with pytest.raises(BenchError, match=r"expected \[cells, actions, 8\]"):
        _predictor("film")(_context(), _actions(), present[:, :2])
    with pytest.raises(BenchError, match="one per gene"):
        _predictor("report")(Encoded(torch.zeros(3, 1, WIDTH), torch.zeros(3, WIDTH)), _actions(), present)
    with pytest.raises(BenchError, match="at least 4"):
        FixedPredictor(GENES, WIDTH, ACTION, 2, 4, n_action_tokens=1)
