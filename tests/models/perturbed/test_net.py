"""PerturbedVAE's network: the cells that it predicts, and which perturbed genes it knows."""

import pytest
import torch
from perturbed_fits import fitted

from bench.models.perturbed_vae.net import balanced
from bench.nn.counts import recover


@pytest.mark.parametrize("likelihood", ["gaussian", "nb"])
def test_no_perturbation_leaves_the_input_cells_as_they_are(likelihood, task):
    model = fitted(task, likelihood=likelihood)
    cells = torch.from_numpy(task.dataset.x[task.input_rows[0][:20]].toarray())
    control = torch.full((20,), task.dataset.conditions.index("ctrl"))
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


def test_noise_of_sampled_cells_leaves_their_mean_alone(task):
    """The same latents without noise have the same mean: to rounding, not to the noise of 60 cells."""
    model = fitted(task, prediction="sample")
    n = 60
    noise = model.net.noise(n, 3)
    cells = torch.from_numpy(task.dataset.x[task.input_rows[0][:n]].toarray())
    condition = torch.full((n,), task.dataset.conditions.index("G01+ctrl"))
    quiet = noise._replace(genes=torch.full_like(noise.genes, 0.5))
    loud, still = (model.net.predict(cells, condition, each, "sample") for each in (noise, quiet))
    assert (loud - still).abs().mean() > 0.1
    torch.testing.assert_close(loud.mean(dim=0), still.mean(dim=0), rtol=0, atol=1e-5)


def test_balanced_numbers_are_evenly_spread_in_an_order_of_their_own():
    got = balanced(50, 4, torch.Generator().manual_seed(0))
    for column in got.T:
        torch.testing.assert_close(column.sort().values, (torch.arange(50) + 0.5) / 50)
    assert not torch.equal(got[:, 0], got[:, 1])


def test_training_cells_of_a_gene_are_counted_over_its_conditions(task):
    """30 cells a condition; by hand: G01 is in G01+ctrl, G00+G01 and G02+G01."""
    known = fitted(task).net.targets
    at = task.dataset.conditions.index("G00+G01")
    order = task.dataset.conditions[at].split("+")
    assert known.cells[at].tolist() == [{"G00": 60.0, "G01": 90.0}[gene] for gene in order]
    assert known.multi_hot[at].nonzero()[:, 0].tolist() == [0, 1]
    assert not known.present[task.dataset.conditions.index("ctrl")].any()
