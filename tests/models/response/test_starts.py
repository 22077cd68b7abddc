"""What a response starts from: cells, and bags of cells where contexts are to be told apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from responses import predicted_shifts, ten_units

from bench.models import registry
from bench.models.response.mean_head import Targets
from bench.models.response.starts import Between, bag_starts, latent_starts

WIDTH = 4
SELF_SUPERVISED = ("jepa", "mae", "vicreg", "lejepa", "simclr")


@pytest.fixture
def pooled():
    """Three contexts of 50, 8 and 1 cells; each cell's first latent is the number of its context."""
    rng = np.random.default_rng(0)
    cells = [rng.normal(size=(n, WIDTH)) for n in (50, 8, 1)]
    for c, each in enumerate(cells):
        each[:, 0] = c
    return [torch.tensor(each, dtype=torch.float32) for each in cells]


def test_bags_are_of_the_right_cells_and_of_any_size(pooled):
    context = torch.tensor([0, 1, 2]).repeat(400)
    start = bag_starts(pooled, Between.none(WIDTH))
    bags = start(context, torch.Generator().manual_seed(1)).pooled
    torch.testing.assert_close(bags[:, 0], context.float())
    of_first = bags[context == 0][:, 1:]
    single = (of_first[:, None] - pooled[0][None, :, 1:]).abs().sum(dim=2).min(dim=1).values < 1e-6
    assert 0.1 < single.float().mean() < 0.35, "log-uniform from 1 to 50: a fifth holds one cell"
    near = (of_first - pooled[0][:, 1:].mean(dim=0)).norm(dim=1) < 0.5
    assert near.float().mean() > 0.3, "and many are nearly the mean of all"
    torch.testing.assert_close(bags[context == 2], pooled[2].expand(400, -1))
    again = start(context, torch.Generator().manual_seed(1)).pooled
    torch.testing.assert_close(bags, again)


def test_without_a_generator_it_is_the_mean_of_all(pooled):
    start = bag_starts(pooled, Between.none(WIDTH))
    torch.testing.assert_close(
        start(torch.tensor([1, 0]), None).pooled, torch.stack([pooled[1].mean(0), pooled[0].mean(0)])
    )
    assert len(latent_starts(pooled)(torch.tensor([1, 0]), None).pooled) == 2 * 32


def test_the_scale_between_contexts():
    means = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.3]])
    scaled = Between.of(means)(means)
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(2), atol=1e-6, rtol=0)
    assert float(scaled.square().sum() / 2 / 2) == pytest.approx(1, abs=1e-5)
    assert float(scaled[:, 1].std()) < 0.2, "a direction in which contexts hardly differ stays small"
    constant = Between.of(torch.ones(3, 2))(torch.ones(3, 2))
    assert torch.isfinite(constant).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["identity", "noise_encoder", "constant_encoder", "pca_encoder", "random_encoder", *SELF_SUPERVISED],
)
def test_every_encoder_can_be_fitted_to_ten_units(name, tmp_path):
    """What cannot be learned by heart will not be learned. A constant encoder cannot tell contexts: it must fail."""
    module = ten_units(tmp_path)
    short = {"epochs": 3} if name in SELF_SUPERVISED else {}
    model = registry.load(name)(
        head_learning_rate=3e-3, head_steps=300, head_weight_decay=0.0, identity_dropout=0.0, head_seeds=1, **short
    )
    model.fit(module)
    bulk = module.pseudobulk("train")
    predicted = predicted_shifts(model, module, bulk.units)
    means = np.array(
        [bulk.shifts[[u.perturbation == v.perturbation for v in bulk.units]].mean(axis=0) for u in bulk.units]
    )
    left = ((predicted - bulk.shifts) ** 2).sum() / ((bulk.shifts - means) ** 2).sum()
    assert left > 0.9 if name == "constant_encoder" else left < 0.1, (
        f"{name}: {left:.2f} of what contexts differ by is left"
    )


def test_the_share_of_what_was_learned_is_what_held_out_targets_say(tmp_path):
    """A third of it, none where it points the wrong way, and never more than all."""
    module = ten_units(tmp_path)
    model = registry.load("identity")(head_steps=1, head_seeds=1)
    model.fit(module)
    head = model.response.networks[0].eval()
    for parameter in head.decoder.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    context = torch.arange(5)
    condition = torch.full((5,), module.dataset.conditions.index("A+ctrl"))
    none = Targets(condition, context, torch.zeros(5, len(module.genes)))
    head.get_buffer("share").fill_(1.0)
    learned = head.mean_of(none)
    base = head.get_buffer("base")[condition]
    for of, expected in ((0.3, 0.3), (-1.0, 0.0), (2.0, 1.0)):
        head.shrink(Targets(condition, context, base + of * learned))
        assert float(head.get_buffer("share")) == pytest.approx(expected, abs=1e-5)
        torch.testing.assert_close(head.mean_of(none), expected * learned, rtol=1e-4, atol=1e-5)
