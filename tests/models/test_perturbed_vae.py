"""PerturbedVAE: what it learns from planted effects, what its switches do, what it says of itself."""

from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
import screens
import torch
from harness import small

from bench import run
from bench.data.controls import control_pools
from bench.data.datamodule import CellBatch, PerturbationDataModule
from bench.data.feature_bank import FeatureBank
from bench.data.splits import Split
from bench.errors import BenchError
from bench.models import perturbed_vae
from bench.models._perturbed_net import PerturbedNet, balanced
from bench.models._perturbed_watch import Watch, active_units, blocks, collapsed, leakage, rows_correlation
from bench.models.perturbed_vae import PerturbedVAE
from bench.nn.counts import recover

ABLATIONS = ("full", "no_align", "no_sep", "no_causal", "no_sparse", "swapped")


def fitted(module, seed=1, **arguments):
    model = PerturbedVAE(**{**small("perturbed_vae"), **arguments})
    run.fit(model, module, seed)
    return model


def losses(model, module):
    batch = next(iter(module.train_dataloader()))
    model.net.train()
    parts = model.losses(batch, torch.Generator().manual_seed(0), 1.0)
    model.net.eval()
    return parts


@pytest.fixture(scope="module")
def task():
    data = screens.tiny_screen()
    return PerturbationDataModule(data, screens.hand_split(data), seed=1)


@pytest.fixture(scope="module")
def models(task):
    """Each ablation, fitted a little."""
    return {name: fitted(task, ablation=name) for name in ABLATIONS}


def planted(conditions=10, cells=80, genes=60, latents=8):
    """Sparse shifts of a linear latent: each perturbation moves one or two of its dimensions, cells scatter in all."""
    rng = np.random.default_rng(0)
    names = [f"G{i:02d}" for i in range(conditions)]
    effects = np.zeros((conditions + 1, latents))
    for row in effects[1:]:
        row[rng.choice(latents, 1 + rng.integers(2), replace=False)] = rng.choice([-1.0, 1.0]) * rng.uniform(1.5, 2.5)
    label = np.repeat(np.arange(conditions + 1), [240, *[cells] * conditions])
    z = effects[label] + rng.normal(0, 0.7, (len(label), latents))
    x = np.maximum(2 + 0.4 * z @ rng.normal(0, 1, (latents, genes)) + rng.normal(0, 0.3, (len(label), genes)), 0)
    return screens.build(
        "planted",
        sp.csr_matrix(x.astype(np.float32)),
        genes=screens.GENES[:genes],
        barcodes=np.array([f"c{i:05d}" for i in range(len(label))]),
        condition=np.array(["ctrl", *(f"{name}+ctrl" for name in names)])[label],
        context=np.full(len(label), "line"),
        batch=np.full(len(label), "b"),
        source="planted",
    )


@pytest.fixture(scope="module")
def ten():
    """Ten planted conditions, all of them train; no test part."""
    data = planted()
    pools = control_pools(data, 1, 0)
    split = Split(
        kind="custom",
        seed=1,
        control_fold=0,
        train=tuple(name for name in data.conditions if name != "ctrl"),
        val=(),
        test=(),
        unused=(),
        subgroups={},
        input_controls=pools[0],
        reference_controls=pools[1],
        input_cells=pools[2],
    )
    return PerturbationDataModule(data, split, seed=1)


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


def test_it_learns_ten_planted_conditions(aligned):
    correlation, size = aligned
    assert correlation.min() > 0.9, correlation
    assert (np.abs(np.log(size)) < 0.4).all(), size


@pytest.mark.parametrize(
    "arguments", [{"compose": "additive", "sparsity": "none", "alpha": 1.0}, {"ablation": "no_sep"}]
)
def test_so_do_its_variants(ten, arguments):
    correlation, size = learn(ten, **arguments)
    assert correlation.min() > 0.9, correlation
    assert (np.abs(np.log(size)) < 0.4).all(), size


def test_alignment_keeps_the_shifts_out_of_the_invariant_latent(ten, aligned):
    """Without it z_i, which a prediction leaves as it is, takes most of every planted shift."""
    _, size = learn(ten, ablation="no_align")
    assert np.median(size) < 0.6 * np.median(aligned[1])


@pytest.mark.parametrize("name", ABLATIONS)
def test_what_an_ablation_takes_away(name, models, task):
    model = models[name]
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


class Table(torch.nn.Module):
    identities = 80
    widths: ClassVar = {"view_a": 16, "view_b": 16}


@pytest.mark.parametrize("genes", [500, 2_000])
def test_without_separation_there_are_as_many_parameters(genes):
    def parameters(name):
        model = PerturbedVAE(ablation=name)
        target = torch.nn.Module()
        target.table = Table()
        shape = model.shape(genes, target)
        return shape, sum(p.numel() for p in PerturbedNet(target, shape, model.settings).parameters())

    (full, wanted), (one, got) = parameters("full"), parameters("no_sep")
    assert (full.invariant, full.perturbed, one.invariant, one.perturbed) == (70, 35, 0, 105)
    assert one.hidden > full.hidden
    assert abs(got / wanted - 1) < 0.02


@pytest.mark.parametrize("likelihood", ["gaussian", "nb"])
def test_no_perturbation_leaves_the_input_cells_as_they_are(likelihood, task):
    model = fitted(task, likelihood=likelihood)
    cells = torch.from_numpy(task.data.x[task.input_rows[0][:20]].toarray())
    control = torch.full((20,), task.data.conditions.index("ctrl"))
    got = model.net.predict(cells, control, model.net.noise(20, 1), "counterfactual")
    torch.testing.assert_close(got, cells.double(), rtol=1e-5, atol=1e-5)


def test_negative_binomial_cells_hold_counts(task):
    for kind in ("counterfactual", "sample"):
        model = fitted(task, likelihood="nb", prediction=kind)
        batch = next(iter(task.predict_dataloader()))
        cells = model.predict_step(batch)
        before, after = recover(batch.controls), recover(cells)
        assert after.exact.all() and (cells >= 0).all() and (cells == 0).any()
        ones = (after.counts == 1).any(dim=1)  # the library is told by a gene of one count
        torch.testing.assert_close(after.library[ones].float(), before.library[ones], rtol=1e-4, atol=1e-2)


def test_counts_that_are_none_are_refused(ten):
    with pytest.raises(BenchError, match=r"likelihood=nb needs counts, and \d+ of 920 cells of 'planted'.*gaussian"):
        fitted(ten, likelihood="nb", features="pca")


def test_noise_of_sampled_cells_leaves_their_mean_alone(task):
    """The same latents without noise have the same mean: to rounding, not to the noise of 60 cells."""
    model = fitted(task, prediction="sample")
    n = 60
    noise = model.net.noise(n, 3)
    cells = torch.from_numpy(task.data.x[task.input_rows[0][:n]].toarray())
    condition = torch.full((n,), task.data.conditions.index("G01+ctrl"))
    quiet = noise._replace(genes=torch.full_like(noise.genes, 0.5))
    loud, still = (model.net.predict(cells, condition, each, "sample") for each in (noise, quiet))
    assert (loud - still).abs().mean() > 0.1
    torch.testing.assert_close(loud.mean(dim=0), still.mean(dim=0), rtol=0, atol=1e-5)


def test_balanced_numbers_are_evenly_spread_in_an_order_of_their_own():
    got = balanced(50, 4, torch.Generator().manual_seed(0))
    for column in got.T:
        torch.testing.assert_close(column.sort().values, (torch.arange(50) + 0.5) / 50)
    assert not torch.equal(got[:, 0], got[:, 1])


def test_partners_by_hand(task):
    """Rows 0, 2 and 3 are of one context, row 1 of another."""
    z, context = torch.tensor([[0.0], [10.0], [2.0], [4.0]]), torch.tensor([0, 1, 0, 0])

    def partner(pair, seed=0):
        return PerturbedVAE(pair=pair)._partner(z, context, torch.Generator().manual_seed(seed))[:, 0].tolist()

    assert partner("batch_matched") == [0, 10, 2, 4]
    assert partner("centroid") == [2, 10, 2, 2]
    drawn = [partner("random", seed) for seed in range(20)]
    assert all(row[1] == 10 and sorted(row) == [0, 2, 4, 10] for row in drawn)
    assert len({tuple(row) for row in drawn}) > 3


def test_a_quarter_of_every_batch_are_controls(task):
    """300 train cells in batches of 128, 128 and 44, each with a third as many controls, for 4 epochs."""
    model = fitted(task, epochs=4)
    assert model.ledger.cells_seen == 4 * (300 + 43 + 43 + 15)
    assert model.ledger.steps == 12


def test_a_collapsed_invariant_latent_is_told(task, models):
    assert any("invariant latent has collapsed" in word for word in fitted(task, alpha=1e6, epochs=30).warnings)
    open_ = fitted(task, alpha=0.0, epochs=60, hidden=64)
    assert not any("collapsed" in word for word in open_.warnings), open_.ledger.selection
    assert not any("collapsed" in word for word in models["no_sep"].warnings)


def test_numbers_of_blocks_by_hand():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4_000, 6))
    other = rng.normal(size=(4_000, 3))
    assert leakage(z, z @ rng.normal(size=(6, 2))) == pytest.approx(1, abs=0.01)
    assert abs(leakage(z, other)) < 0.01
    assert leakage(z, z[:, :1] + rng.normal(size=(4_000, 1))) == pytest.approx(0.5, abs=0.05)
    assert leakage(z, np.zeros((4_000, 2))) == 0
    assert active_units(z * [1, 1, 1, 0.05, 0.05, 0]) == 3
    numbers = blocks(z, other)
    assert numbers["effective_rank_i"] == pytest.approx(6, abs=0.05) and numbers["active_v"] == 3
    assert collapsed(numbers, 6) is None
    assert "1 of 6 latents" in collapsed(blocks(z * [1, 0, 0, 0, 0, 0], other), 6)
    assert "effective rank 1.0" in collapsed(blocks(z[:, :1] @ np.ones((1, 6)), other), 6)
    assert "effective_rank_i" not in blocks(None, other)


def test_fewer_perturbations_than_latents_is_told(task, models):
    assert any("7 perturbed genes in training, fewer than d_v=35" in word for word in models["full"].warnings)
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
    index = {name: i for i, name in enumerate(task.data.conditions)}
    singles = ("G08+ctrl", "G09+ctrl", "G10+ctrl", "G11+ctrl", "G03+ctrl")
    shift = model.net.effects(torch.tensor([index[name] for name in singles])).mechanism.shift
    torch.testing.assert_close(shift[0], shift[1])
    assert all((shift[0] - other).abs().max() > 1e-4 for other in shift[2:]) and shift[0].abs().max() > 0


def test_training_cells_of_a_gene_are_counted_over_its_conditions(task, models):
    """30 cells a condition; by hand: G01 is in G01+ctrl, G00+G01 and G02+G01."""
    known = models["full"].net.targets
    at = task.data.conditions.index("G00+G01")
    order = task.data.conditions[at].split("+")
    assert known.cells[at].tolist() == [{"G00": 60.0, "G01": 90.0}[gene] for gene in order]
    assert known.multi_hot[at].nonzero()[:, 0].tolist() == [0, 1]
    assert not known.present[task.data.conditions.index("ctrl")].any()


def test_the_kept_step_is_the_best_on_val_where_there_are_enough(task, simulated):
    assert "default: only 2 val conditions" in fitted(task).ledger.selection
    model = fitted(simulated, min_steps=40)
    assert "on 12 val conditions" in model.ledger.selection
    watch = Watch(model.net, simulated, "val", "counterfactual", lambda numbers: None, 1)
    assert f"val pearson {watch.correlation():.3f}" in model.ledger.selection


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
