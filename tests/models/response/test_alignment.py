"""The alignment of two descriptions of a gene, from which a response's actions start."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from harness import small

from bench.core.conditions import constituents
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.features.resolve import load_banks
from bench.models import registry
from bench.models.response import mean_fit
from bench.models.response.actions import ActionTable
from bench.models.response.alignment import Alignment, align
from bench.runner import fit as run
from bench.training.fit import FitContext, FitReport


def steps_of(module, epochs):
    return epochs * (1 + (sum(len(constituents(name)) for name in module.split.train) - 1) // 128)


def test_alignment_brings_the_two_tables_together(simulated):
    banks = list(load_banks("view_a+view_b", simulated))
    table = ActionTable(simulated, banks)
    torch.manual_seed(3)
    fresh = Alignment(table, simulated, 32, 1)
    every = torch.arange(len(fresh.gene))
    genes = {gene for name in simulated.split.train for gene in constituents(name)}
    assert len(set(fresh.gene.tolist())) == len(genes) and len(every) > len(genes)  # doubles repeat genes
    with torch.no_grad():
        before = float(fresh.loss(every))
    fresh.composer.load_state_dict(align(table, 32, 60, simulated, FitReport(), FitContext(head_seed=3)))
    with torch.no_grad():
        after = float(fresh.loss(every))
    # Nothing told apart: ln N. All told apart: the entropy that genes with several rows leave.
    _, counts = np.unique(fresh.gene, return_counts=True)
    least = float((np.log(counts) * counts).sum() / counts.sum())
    assert before > np.log(len(every)) - 0.5
    assert least < after < least + 0.3 * (before - least)


def test_alignment_uses_train_conditions_only(simulated):
    seen = {gene for name in simulated.split.train for gene in constituents(name)}
    unseen = sorted({gene for name in simulated.split.test for gene in constituents(name)} - seen)
    assert unseen
    banks = load_banks("view_a+view_b", simulated)

    def changed(genes):
        rng = np.random.default_rng(1)
        out = []
        for each in banks:
            values = each.values.copy()
            values[[each.index[gene] for gene in genes]] += rng.normal(0, 1, (len(genes), each.width))
            out.append(replace(each, values=values))
        return align(ActionTable(simulated, out), 16, 3, simulated, FitReport(), FitContext())

    plain = align(ActionTable(simulated, list(banks)), 16, 3, simulated, FitReport(), FitContext())
    other = changed(unseen)
    assert all(torch.equal(plain[name], other[name]) for name in plain)
    moved = changed(sorted(seen)[:3])
    assert any(not torch.equal(plain[name], moved[name]) for name in plain)


def first_response(model, data, monkeypatch):
    """The response as it is before its first step."""
    made = []

    def fit(task, settings, ledger, runtime):
        made.append(mean_fit.MeanHead(task, settings, 1e-3, runtime.head_seed * 1_000))
        ledger.selection = "none"
        return [made[0].eval()]

    monkeypatch.setattr(mean_fit, "fit", fit)
    run.fit(model, data, 1)
    return made[0].composer.state_dict()


def test_a_response_starts_from_the_aligned_weights(simulated, monkeypatch):
    arguments = {**small("constant_encoder"), "features": "view_a+view_b"}
    model = registry.load("constant_encoder")
    plain = first_response(model(**arguments), simulated, monkeypatch)
    aligned = first_response(model(**arguments, align_epochs=5), simulated, monkeypatch)
    table = ActionTable(simulated, list(load_banks("view_a+view_b", simulated)))
    weights = align(table, arguments["action_width"], 5, simulated, FitReport(), FitContext(head_seed=1))
    assert set(aligned) - set(weights) == {"identity.weight"}  # all the rest comes from the alignment
    assert all(torch.equal(aligned[name], weights[name]) for name in weights)
    projections = [name for name in weights if name.startswith("project") and name.endswith("weight")]
    assert len(projections) == 2
    assert not any(torch.equal(plain[name], aligned[name]) for name in projections)
    assert torch.equal(plain["identity.weight"], aligned["identity.weight"])


def test_alignment_needs_two_tables(module):
    model = registry.load("constant_encoder")(**small("constant_encoder"), features="pca", align_epochs=2)
    with pytest.raises(BenchError, match=r"model 'constant_encoder': align_epochs needs two feature banks; there is 1"):
        run.fit(model, module, 1)


def test_alignment_does_not_depend_on_what_was_drawn_before(simulated):
    table = ActionTable(simulated, list(load_banks("view_a+view_b", simulated)))
    one = align(table, 8, 1, simulated, FitReport(), FitContext())
    torch.rand(5)
    two = align(table, 8, 1, PerturbationDataModule(simulated.task, seed=1), FitReport(), FitContext())
    other = align(table, 8, 1, simulated, FitReport(), FitContext(head_seed=2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
