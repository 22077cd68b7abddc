"""Noise for an encoder: the same for the same cell, and independent of everything else."""

import numpy as np
import pytest
import scipy.stats
import torch
from harness import small

from bench.data.datamodule import PerturbationDataModule
from bench.models import registry
from bench.runner import fit as run
from bench.training.embedding import decodable, embed_rows


def encoder_of(module, **arguments):
    model = registry.load("noise_encoder")(**{**small("noise_encoder"), **arguments})
    model.freeze_encoder(module)
    return model


def latents(module, rows, **arguments):
    return embed_rows(encoder_of(module, **arguments).embed, module.dataset.x, rows)


def test_the_latents_are_standard_normal_and_independent(module):
    z = latents(module, np.arange(module.dataset.x.shape[0]), width=64)
    assert scipy.stats.kstest(z.ravel(), "norm").pvalue > 0.01
    correlation = np.corrcoef(z)[np.triu_indices(len(z), 1)]
    assert abs(correlation.mean()) < 0.005
    assert correlation.std() == pytest.approx(1 / np.sqrt(64), rel=0.05)  # of independent vectors of 64 numbers


def test_a_cell_has_its_noise_in_any_batch_and_any_order(module):
    embed = encoder_of(module).embed
    cells = torch.from_numpy(module.dataset.x[:40].toarray())
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(embed(cells[order]), embed(cells)[order], atol=0, rtol=0)
    torch.testing.assert_close(embed(cells[7:8])[0], embed(cells)[7], atol=0, rtol=0)


def test_one_count_more_is_another_cell(module):
    embed = encoder_of(module, width=256).embed
    cells = torch.from_numpy(module.dataset.x[:40].toarray())
    other = cells.clone()
    other[:, 3] += 1e-4
    before, after = embed(cells), embed(other)
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(before.numpy(), after.numpy(), strict=True)]
    assert np.abs(r).max() < 0.3
    signed = torch.where(cells == 0, -cells, cells)  # -0 is no other count than 0
    torch.testing.assert_close(embed(signed), before, atol=0, rtol=0)


def test_the_seed_of_the_representation_draws_it(module):
    rows = np.arange(30)
    other = PerturbationDataModule(module.task, seed=2)
    assert np.abs(np.corrcoef(latents(module, rows).ravel(), latents(other, rows).ravel())[0, 1]) < 0.2


def test_nothing_of_a_cell_or_a_condition_can_be_decoded(module):
    data = module.dataset
    fit, held = module.representation_rows("train"), data.rows(module.split.test)
    parts = [(latents(module, rows), data.x[rows]) for rows in (fit, module.control_rows, held)]
    condition = np.unique(data.condition[held], return_inverse=True)[1]
    found = decodable(*parts, condition)
    by_shift, by_cell = found.by_shift, found.by_cell
    assert by_shift < 0.05
    assert by_cell < 0.05


def test_a_width_that_is_none():
    with pytest.raises(ValueError, match="width is 0; expected an integer of at least 1"):
        registry.load("noise_encoder")(width=0)


@pytest.mark.ci
def test_it_runs(module):
    model = registry.load("noise_encoder")(**small("noise_encoder"))
    run.fit(model, module, 1)
    assert model.fit_report.parameters["encoder"] == 0
