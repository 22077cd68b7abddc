"""The action composer: its published size, missing features, identities."""

import pytest
import torch

from bench.core.errors import BenchError
from bench.nn.composer import MODES, Composer

WIDTHS = {"protein": 5, "dna": 3}


def _composer(**options):
    torch.manual_seed(0)
    composer = Composer(WIDTHS, 6, mode_width=4, **options)
    for layer in (composer.scale, composer.shift):
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    return composer


def _inputs(batch=4, actions=2):
    features = {name: torch.randn(batch, actions, width) for name, width in WIDTHS.items()}
    known = {name: torch.ones(batch, actions, dtype=torch.bool) for name in WIDTHS}
    return features, known, torch.randint(0, len(MODES), (batch, actions))


def test_published_parameter_count():
    composer = Composer({"protein": 320, "chemical": 768, "dna": 1536})
    assert sum(p.numel() for p in composer.parameters()) == 882_880
    assert len(MODES) == 10


def test_composition_is_the_published_formula():
    composer, (features, known, mode) = _composer(), _inputs()
    known["dna"][:] = False
    c = features["protein"] @ composer.project["from_protein"].weight.T
    m = composer.mode.weight[mode]
    s, t = (m @ layer.weight.T + layer.bias for layer in (composer.scale, composer.shift))
    torch.testing.assert_close(composer(features, known, mode), c * (1 + s) + t)


def test_modes_start_without_effect_and_known_modalities_are_averaged():
    torch.manual_seed(0)
    composer, (features, known, mode) = Composer(WIDTHS, 6), _inputs()
    out = composer(features, known, mode)
    torch.testing.assert_close(out, composer(features, known, torch.zeros_like(mode)))
    single = []
    for name in WIDTHS:
        only = {other: known[other] & (other == name) for other in WIDTHS}
        single.append(composer(features, only, mode))
    torch.testing.assert_close(out, (single[0] + single[1]) / 2)


def test_what_is_not_known_does_not_enter():
    composer, (features, known, mode) = _composer(), _inputs()
    known["dna"][0] = False
    before = composer(features, known, mode)
    features["dna"][0] = 100
    assert torch.equal(composer(features, known, mode), before)
    features["dna"][1] = 100
    assert not torch.equal(composer(features, known, mode)[1], before[1])


def test_nothing_known_is_exactly_zero_whatever_the_mode():
    composer, (features, known, mode) = _composer(n_identities=3), _inputs()
    for name in WIDTHS:
        known[name][0] = False
    identity = torch.zeros(4, 2, dtype=torch.int64)
    out = composer.eval()(features, known, mode, identity)
    assert not out[0].any() and out[1:].any()
    identity[0, 0] = 2
    assert composer(features, known, mode, identity)[0, 0].any()
    assert not composer(features, known, mode)[0].any()


def test_unseen_identity_is_zero_and_never_trained():
    composer, (features, known, mode) = _composer(n_identities=3, identity_dropout=0.0), _inputs()
    unseen = torch.zeros(4, 2, dtype=torch.int64)
    torch.testing.assert_close(composer(features, known, mode, unseen), composer(features, known, mode))
    optimiser = torch.optim.AdamW(composer.parameters(), lr=0.1)
    identity = torch.tensor([[0, 1], [2, 3], [0, 0], [1, 1]])
    for _ in range(3):
        optimiser.zero_grad()
        composer(features, known, mode, identity).square().sum().backward()
        optimiser.step()
    assert not composer.identity.weight[0].any()
    assert composer.identity.weight[1:].any(dim=1).all()


def test_identity_dropout_follows_its_generator_its_rate_and_the_training_flag():
    composer = Composer({}, 4, n_identities=2, identity_dropout=0.3)
    mode, identity = torch.zeros(2000, 2, dtype=torch.int64), torch.ones(2000, 2, dtype=torch.int64)
    draw = lambda seed: composer({}, {}, mode, identity, torch.Generator().manual_seed(seed))  # noqa: E731
    assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))
    dropped = (draw(0) == 0).all(-1)
    # 4,000 draws at 0.3: standard deviation 0.0072.
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.036)
    assert dropped[:, 0].ne(dropped[:, 1]).any()  # per action, not per cell
    composer.eval()
    assert (draw(0) != 0).any(-1).all()


def test_bad_input_is_refused():
    with pytest.raises(BenchError, match="needs features or identities"):
        Composer({})
    with pytest.raises(BenchError, match="identity_dropout"):
        Composer(WIDTHS, identity_dropout=2)
    features, known, mode = _inputs()
    del features["dna"]
    with pytest.raises(BenchError, match="unknown modality"):
        _composer()(features, known, mode)


def test_the_order_of_the_mapping_does_not_change_the_weights():
    torch.manual_seed(0)
    a = Composer(WIDTHS)
    torch.manual_seed(0)
    b = Composer(dict(reversed(WIDTHS.items())))
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(x, y)
