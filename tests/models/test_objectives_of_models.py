"""The objectives' models: augmentation, what a loss may depend on, and what a pretraining costs."""

import numpy as np
import pytest
import torch
from harness import PRETRAINED, SELF_SUPERVISED, small

from bench.models import registry
from bench.nn.mlp_encoder import FLAG_CHANNELS
from bench.nn.views import thin
from bench.runner import fit as run
from bench.training.fit import FitContext, FitReport
from bench.training.monitors import Monitor


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_objectives_are_found_by_being_registered():
    assert {"jepa", "mae", "vicreg", "lejepa", "simclr", "supervised"} <= set(PRETRAINED)


# Thinning


@pytest.fixture
def counts():
    """Cells whose smallest count is one molecule, normalised to 10,000; the last is empty."""
    drawn = np.random.default_rng(0).poisson(np.geomspace(0.3, 60, 40), (64, 40)).astype(np.float64)
    drawn[:, 0] = 1
    drawn[-1] = 0
    return drawn


def log1p(counts):
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return torch.from_numpy(np.log1p(counts / total * 1e4)).float()


@pytest.mark.parametrize("keep", [0.5, 0.9, 1.0])
def test_thinning_keeps_totals_and_zeros(keep, counts):
    cells = log1p(counts)
    out = thin(cells, torch.full((len(cells), 1), keep), generator())
    assert torch.isfinite(out).all() and (out >= 0).all()
    assert not out[cells == 0].any()
    np.testing.assert_allclose(torch.expm1(out[:-1]).sum(dim=1), 1e4, rtol=1e-3)
    assert not out[-1].any()
    same = torch.allclose(out, cells, atol=1e-4)
    assert same == (keep == 1.0)  # all kept: nothing happens


@pytest.mark.parametrize("keep", [0.5, 0.7])
def test_thinning_has_the_moments_of_binomial_thinning(keep):
    """From one molecule upward: numpy's binomial draws, normalised again, are the truth."""
    one = np.array([1, 1, 2, 3, 5, 20, 30, 50, 200, 50], dtype=np.float64)
    n = 40_000
    cells = log1p(np.tile(one, (n, 1)))
    got = torch.expm1(thin(cells, torch.full((n, 1), keep), generator(1))).double().numpy()
    drawn = np.random.default_rng(1).binomial(one.astype(int), keep, (n, len(one)))
    expected = drawn / drawn.sum(axis=1, keepdims=True) * 1e4
    np.testing.assert_allclose(got.mean(axis=0), expected.mean(axis=0), rtol=0.02)
    np.testing.assert_allclose(got.std(axis=0), expected.std(axis=0), rtol=0.04)
    np.testing.assert_allclose((got == 0).mean(axis=0), (drawn == 0).mean(axis=0), atol=0.01)


def test_the_share_that_is_kept_is_the_share_asked_for():
    """Beside a gene of a million molecules that hardly thins relative to itself, the others show the share."""
    for keep in (0.5, 0.8):
        counts = np.tile(np.array([1.0, *[100.0] * 30]), (500, 1))
        cells = log1p(counts)
        kept = torch.expm1(thin(cells, torch.full((500, 1), keep), generator(2)))
        # Relative variance of a thinned count n is (1 - keep) / (keep n): what is left says how much was kept.
        spread = (kept[:, 1:].std() / kept[:, 1:].mean()).item() ** 2
        assert 1 / (1 + 100 * spread) == pytest.approx(keep, abs=0.02)


def test_thinning_is_drawn_per_cell(counts):
    cells = log1p(counts)
    keep = torch.ones(len(cells), 1)
    keep[::2] = 0.5
    out = thin(cells, keep, generator())
    moved = (out - cells).abs().amax(dim=1)[:-1]
    assert (moved[1::2] < 1e-4).all() and (moved[::2] > 0.05).all()


# Losses


@pytest.mark.parametrize("name", PRETRAINED)
def test_random_choices_come_from_the_generator_alone(name, module):
    model = registry.load(name)(**small(name))
    objective = model.maker.pretraining(module).objective
    batch = next(iter(module.cells_dataloader(64)))
    with torch.no_grad():
        one = objective.losses(batch, generator(1))
        torch.rand(3)
        two, other = objective.losses(batch, generator(1)), objective.losses(batch, generator(2))
    assert one == two and one != other


@pytest.mark.parametrize("name", SELF_SUPERVISED)
def test_self_supervised_losses_see_no_label(name, module):
    model = registry.load(name)(**small(name))
    objective = model.maker.pretraining(module).objective
    batch = next(iter(module.cells_dataloader(64)))
    blind = batch._replace(condition=torch.full_like(batch.condition, -1), context=torch.full_like(batch.context, -1))
    with torch.no_grad():
        assert objective.losses(batch, generator(1)) == objective.losses(blind, generator(1))


def test_the_supervised_loss_does_see_labels(module):
    model = registry.load("supervised")(**small("supervised"))
    objective = model.maker.pretraining(module).objective
    batch = next(iter(module.cells_dataloader(64)))
    with torch.no_grad():
        other = batch._replace(condition=batch.condition.flip(0))
        assert objective.losses(batch, generator(1)) != objective.losses(other, generator(1))


@pytest.mark.thinned(6)
@pytest.mark.parametrize("name", PRETRAINED)
@pytest.mark.parametrize("encoder", ["mlp", "gene_transformer"])
def test_a_loss_falls(name, encoder, module):
    model = registry.load(name)(**small(name), encoder=encoder)
    objective = model.maker.pretraining(module).objective
    batch = next(iter(module.cells_dataloader(64)))
    adam = torch.optim.Adam([*objective.student.parameters(), *objective.heads.parameters()], 3e-3)
    values = []
    for step in range(12):
        loss = torch.stack(list(objective.losses(batch, generator(step)).values())).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        values.append(loss.item())
    assert np.mean(values[-3:]) < values[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lejepa", "simclr"])
def test_a_short_pretraining_lowers_the_loss_and_does_not_collapse(name, module):
    settings = {**small(name), "width": 16, "epochs": 12, "batch_size": 64, "learning_rate": 3e-3, "momentum": 0.9}
    pretraining = registry.load(name)(**settings).maker.pretraining(module)
    batch = next(iter(module.cells_dataloader(128)))

    def loss():
        with torch.no_grad():
            return sum(float(sum(pretraining.objective.losses(batch, generator(i)).values())) for i in range(5)) / 5

    before = loss()
    ranks = []
    with pytest.MonkeyPatch.context() as patch:
        look = Monitor.look
        patch.setattr(Monitor, "look", lambda self: (look(self), ranks.append(self.last["effective_rank"]))[0])
        pretraining.run(module, FitReport(), FitContext(), None, print)
    assert pretraining.steps > 50 and len(ranks) > 10
    assert ranks[-1] > 4  # of 16; a collapse would be at 1
    # The student goes on to the last step, whichever step of the average is kept.
    assert loss() < 0.97 * before  # of NT-Xent, which can fall by a third at most


def test_views_of_lejepa_predict_the_mean_of_the_global_ones(module):
    """Against the parts by hand, and: local views hide more, the teacher and labels are not asked."""
    objective = (
        registry.load("lejepa")(**small("lejepa"), local_views=3, trade_off=0.2).maker.pretraining(module).objective
    )
    batch = next(iter(module.cells_dataloader(32)))
    hidden = []
    objective.student.register_forward_pre_hook(lambda module, inputs: hidden.append(inputs[1].hidden))
    objective.teacher.register_forward_hook(lambda *_: pytest.fail("the teacher was asked"))
    with torch.no_grad():
        parts = objective.losses(batch, generator(3))
        views = objective.views(batch.cells, generator(3))
    genes = batch.cells.shape[1]
    shares = [float(mask.float().mean()) for mask in hidden[:5]]
    assert shares == pytest.approx([round(0.3 * genes) / genes] * 2 + [round(0.8 * genes) / genes] * 3)
    assert len({mask.numpy().tobytes() for mask in hidden[:5]}) == 5  # each hides its own genes
    center = (views[0] + views[1]) / 2
    expected = np.mean([float((view - center).square().mean()) for view in views])
    assert float(parts["prediction"]) == pytest.approx(0.8 * expected, rel=1e-4)


def test_mae_sees_nothing_of_what_it_reconstructs(module):
    """Hidden values are replaced while the total stays: the reconstruction must be the same."""
    model = registry.load("mae")(**small("mae"))
    objective = model.maker.pretraining(module).objective
    batch = next(iter(module.cells_dataloader(16)))
    from bench.nn.masking import exact_mask

    hidden = exact_mask(16, batch.cells.shape[1], objective.mask, generator(5)).hidden
    other = batch.cells.clone()
    for i in range(16):
        other[i, hidden[i]] = other[i, hidden[i]].flip(0)
    assert not torch.equal(other, batch.cells)
    made = []
    objective.heads["decoder"].register_forward_hook(lambda module, inputs, output: made.append(output))
    with torch.no_grad():
        objective.losses(batch, generator(5))
        objective.losses(batch._replace(cells=other), generator(5))
    torch.testing.assert_close(made[0], made[1], atol=1e-5, rtol=1e-5)


# The ledger


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.ci if name == "jepa" else pytest.mark.slow)
        for name in PRETRAINED
        if name != "biojepa_ac"
    ],
)
def test_ledger_of_a_pretrained_model(name, module):
    settings = {**small(name), "epochs": 3, "batch_size": 60}
    model = registry.load(name)(**settings)
    run.fit(model, module, 1, FitContext())
    cells = len(module.representation_rows("train"))
    assert cells == 10 * 30 + 60
    pretraining = 3 * (cells // 60)
    ledger = model.fit_report
    chosen = int(ledger.selection.split("steps ")[1].split(" of 20")[0])
    assert ledger.steps == pretraining + 5 * settings["head_steps"] + chosen  # five folds and the response
    assert ledger.cells_seen == pretraining * 60
    assert ledger.trials == 1
    assert ledger.flops > 0
    assert set(ledger.parameters) == {"encoder", "pretraining heads", "response"}
    assert ledger.parameters["encoder"] == sum(p.numel() for p in model.encoder.parameters()) > 0
    assert ledger.parameters["pretraining heads"] > 0
    assert ledger.parameters["response"] == sum(p.numel() for r in model.response.networks for p in r.parameters())
    assert not any(p.requires_grad for p in model.encoder.parameters())


def test_flops_by_hand(module):
    """Multiply and add of every layer, forward and backward; the first layers need no gradient of their input."""
    g, h, d, flags = len(module.genes), 32, 16, FLAG_CHANNELS
    model = registry.load("mae")(**small("mae"))
    pretraining = model.maker.pretraining(module)
    first = 2 * (g * h + g * flags + 1 * h)  # expression, flags, total: forward and gradient of weights
    rest = flags * h + 2 * h * h + h * d + d * h + h * g  # flags, block, out; decoder: three products each
    assert pretraining.flops_per_cell() == pytest.approx(2 * (first + 3 * rest), rel=0.01)


@pytest.mark.slow
def test_parameters_of_models_without_pretraining(module):
    for name, count in (("constant_encoder", 0), ("identity", 0), ("pca_encoder", 0)):
        model = registry.load(name)(**small(name))
        run.fit(model, module, 1)
        assert model.fit_report.parameters["encoder"] == count
        assert set(model.fit_report.parameters) == {"encoder", "response"}
        assert model.fit_report.flops > 0  # of the response
