"""PerturbedVAE: what it learns from planted effects, what its switches do, what it says of itself."""

from functools import cache

import numpy as np
import pytest
import torch
from perturbed_fits import fitted, planted_task, tiny_task

from bench.data.datamodule import CellBatch
from bench.data.features.bank import FeatureBank
from bench.models.perturbed_vae import perturbed_vae
from bench.models.perturbed_vae.perturbed_vae import PerturbedVAE
from bench.models.perturbed_vae.watch import Watch, rows_correlation
from bench.runner import fit as run

ABLATIONS = ("full", "no_align", "no_sep", "no_causal", "no_sparse", "swapped")


@pytest.fixture(scope="module")
def task():
    return tiny_task()


@pytest.fixture(scope="module")
def ten():
    return planted_task()


def losses(model, module):
    batch = next(iter(module.train_dataloader()))
    model.net.train()
    parts = model.losses(batch, torch.Generator().manual_seed(0), 1.0)
    model.net.eval()
    return parts


@pytest.fixture(scope="module")
def models(task):
    """An ablation, fitted a little, once."""
    return cache(lambda name: fitted(task, ablation=name))


def learned(model, module):
    watch = Watch(model.net, module, "train", "counterfactual", lambda numbers: None, 1)
    shifts = watch.shifts()
    return rows_correlation(shifts, watch.true), np.linalg.norm(shifts, axis=1) / np.linalg.norm(watch.true, axis=1)


def learn(ten, **arguments):
    model = PerturbedVAE(d_v=8, d_i=16, hidden=64, features="pca", batch_size=64, min_steps=400, **arguments)
    run.fit(model, ten, 1)
    return learned(model, ten)


@pytest.fixture(scope="module")
def aligned(ten):
    """Strongly aligned: the planted effects are larger than the scatter of the cells, and z_i would take them."""
    return learn(ten, alpha=1.0)


@pytest.mark.slow
def test_it_learns_ten_planted_conditions(aligned):
    correlation, size = aligned
    assert correlation.min() > 0.9, correlation
    assert (np.abs(np.log(size)) < 0.4).all(), size


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [{"compose": "additive", "sparsity": "none", "alpha": 1.0}, {"ablation": "no_sep"}]
)
def test_so_do_its_variants(ten, arguments):
    correlation, size = learn(ten, **arguments)
    assert correlation.min() > 0.9, correlation
    assert (np.abs(np.log(size)) < 0.4).all(), size


@pytest.mark.slow
def test_alignment_keeps_the_shifts_out_of_the_invariant_latent(ten, aligned):
    """Without it z_i, which a prediction leaves as it is, takes most of every planted shift."""
    _, size = learn(ten, ablation="no_align")
    assert np.median(size) < 0.6 * np.median(aligned[1])


@pytest.mark.ci
@pytest.mark.parametrize("name", ABLATIONS)
def test_what_an_ablation_takes_away(name, models, task):
    model = models(name)
    shape, parts = model.net.vae.shape, losses(model, task)
    assert (shape.invariant, shape.perturbed) == {"no_sep": (0, 77), "swapped": (35, 7)}.get(name, (70, 7))
    assert shape.causal == (name != "no_causal") == (model.net.vae.prior.edges is not None)
    assert ("align" in parts) == (name != "no_align")
    assert ("kl_i" in parts) == (name != "no_sep")
    assert ("kl_mechanism" in parts) == (name != "no_sparse")
    assert all(torch.isfinite(value) for value in parts.values())


def test_parts_of_the_loss_by_their_switches(task):
    none = losses(fitted(task, sparsity="none"), task)
    assert "edges" not in none and "kl_mechanism" not in none
    assert "edges" in losses(fitted(task, sparsity="l1"), task)


def test_a_quarter_of_every_batch_are_controls(task):
    """300 train cells in batches of 128, 128 and 44, each with a third as many controls, for 4 epochs."""
    model = fitted(task, epochs=4)
    assert model.fit_report.cells_seen == 4 * (300 + 43 + 43 + 15)
    assert model.fit_report.steps == 12


def test_fewer_perturbations_than_latents_is_told(task, models):
    assert any("7 perturbed genes in training, fewer than d_v=35" in word for word in models("full").warnings)
    enough = fitted(task, d_v=7)
    assert enough.net.vae.shape.perturbed == 7
    assert not any("fewer than" in word for word in enough.warnings)


def test_genes_of_which_nothing_is_known_act_alike_and_are_counted(task, monkeypatch):
    def bank(spec, data):
        genes = tuple(gene for gene in data.genes if gene not in ("G03", "G08", "G09"))
        values = np.random.default_rng(0).normal(size=(len(genes), 5)).astype(np.float32)
        return (FeatureBank("made", genes, values, "made by hand"),)

    monkeypatch.setattr(perturbed_vae, "load_banks", bank)
    model = fitted(task)
    # G03 has no features but is in train.
    assert [model.fallbacks(name) for name in ("G08+G09", "G08+ctrl", "G10+G11", "G03+ctrl")] == [2, 1, 0, 0]
    index = {name: i for i, name in enumerate(task.dataset.conditions)}
    singles = ("G08+ctrl", "G09+ctrl", "G10+ctrl", "G11+ctrl", "G03+ctrl")
    shift = model.net.effects(torch.tensor([index[name] for name in singles])).mechanism.shift
    torch.testing.assert_close(shift[0], shift[1])
    assert all((shift[0] - other).abs().max() > 1e-4 for other in shift[2:]) and shift[0].abs().max() > 0


@pytest.mark.ci
def test_predictions_are_a_seeds_own(task):
    batch = next(iter(task.predict_dataloader()))
    first, again, other = (fitted(task, seed, prediction="sample").predict_step(batch) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.allclose(first, other, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ablation": "none"}, "ablation is 'none'; expected one of full, no_align, no_sep"),
        ({"likelihood": "poisson"}, "likelihood is 'poisson'"),
        ({"pair": "nearest"}, "pair is 'nearest'"),
        ({"d_v": 0}, "d_v is 0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"alpha": -1.0}, "alpha is -1"),
        ({"batch_size": 2}, "batch_size is 2"),
        ({"mask_prior": 1.0}, "mask_prior is 1"),
        ({"ablation": "no_sparse", "sparsity": "l1"}, "needs sparsity=spike_slab"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PerturbedVAE(**arguments)


def test_a_batch_without_perturbed_context_is_learned_from(task):
    """Single cells as a last batch are no special case."""
    model = fitted(task)
    cells = torch.rand(1, len(task.genes))
    one = torch.zeros(1, dtype=torch.int64)
    parts = model.losses(CellBatch(cells, cells, one, one), torch.Generator(), 1.0)
    assert all(torch.isfinite(value) for value in parts.values())
