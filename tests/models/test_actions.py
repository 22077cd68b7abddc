"""Actions of conditions, and the alignment of two descriptions of a gene."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from harness import small

from bench import run
from bench.conditions import constituents
from bench.data.datamodule import PerturbationDataModule
from bench.data.feature_bank import FeatureBank
from bench.data.features import load_banks
from bench.errors import BenchError
from bench.models import encoder_model, registry, response
from bench.models.actions import ActionTable
from bench.models.alignment import Alignment, align
from bench.models.base import Runtime
from bench.nn.composer import Composer


def bank(module, without=(), name="made", seed=0):
    genes = tuple(gene for gene in module.genes if gene not in without)
    values = np.random.default_rng(seed).normal(3, 2, (len(genes), 5)).astype(np.float32)
    return FeatureBank(name, genes, values, "made by hand")


def table_of(module, *banks):
    return ActionTable(module, list(banks)), {name: i for i, name in enumerate(module.data.conditions)}


# G00 .. G06 are perturbed in train; G07 in val; G07 .. G11 in test.


def test_constituents_of_which_nothing_is_known_are_counted(module):
    table, _ = table_of(module, bank(module, without=("G03", "G08", "G09")))
    # G03 has no features but is in train; G08 and G09 have neither.
    unknown = {"G08", "G09"}
    for name, missing in table.missing.items():
        assert missing == len(unknown & set(constituents(name))), name
    assert table.missing["G08+G09"] == 2 and table.missing["G08+G07"] == 1 and table.missing["G03+ctrl"] == 0
    assert table.identities == 7


def test_without_features_only_train_targets_are_known(module):
    table, index = table_of(module)
    assert table.widths == {} and table.missing["G10+G11"] == 2
    composer = Composer({}, width=6, n_identities=table.identities).eval()
    action, present = table.compose(composer, torch.tensor([index["G10+G11"], index["G02+G01"], index["G06+G07"]]))
    assert present.tolist() == [[False, False], [True, True], [True, False]]
    assert not action[0].any() and action[1].all() and not action[2, 1].any()


def test_a_model_reports_the_fallbacks_of_its_table(module, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_model, "load_banks", lambda spec, data: (bank(data, without=("G08", "G09")),))
    model = registry.load("constant_encoder")(**small("constant_encoder"))
    run.fit(model, module, 1)
    assert [model.fallbacks(name) for name in ("G08+G09", "G08+ctrl", "G10+G11", "G00+ctrl")] == [2, 1, 0, 0]


def test_features_are_standardised_on_the_train_targets(module):
    """By hand: mean 0 and SD 1 over the genes perturbed in train, each counted once."""
    made = bank(module)
    table, index = table_of(module, made)
    values, known = table.features(torch.arange(len(index)))
    train = [made.genes.index(f"G{i:02d}") for i in range(7)]
    raw = made.values.astype(np.float64)
    expected = (raw - raw[train].mean(axis=0)) / raw[train].std(axis=0)
    for name, row in index.items():
        for slot, gene in enumerate(constituents(name)):
            assert known["made"][row, slot]
            np.testing.assert_allclose(
                values["made"][row, slot], expected[made.genes.index(gene)], rtol=1e-4, atol=1e-5
            )
        assert not known["made"][row, len(constituents(name)) :].any()


def test_a_double_is_the_set_of_its_singles(module):
    table, index = table_of(module, bank(module), bank(module, ("G00",), "other", 1))
    composer = Composer(table.widths, width=6, n_identities=table.identities).eval()
    for double in ("G02+G01", "G08+G07", "G00+G01"):
        both, present = table.compose(composer, torch.tensor([index[double]]))
        assert present.all()
        for slot, gene in enumerate(constituents(double)):
            one, there = table.compose(composer, torch.tensor([index[f"{gene}+ctrl"]]))
            torch.testing.assert_close(both[0, slot], one[0, 0])
            assert there.tolist() == [[True, False]] and not one[0, 1].any()


def test_the_order_within_a_double_changes_no_prediction(simulated):
    """The predictor sees a set: exchange the constituents of every double."""
    table = ActionTable(simulated, list(load_banks("card", simulated)))
    model = registry.load("constant_encoder")(**small("constant_encoder"))
    tasks = []
    grab = response.fit

    def keep(task, *rest):
        tasks.append(task)
        return grab(task, *rest)

    response.fit = keep
    try:
        run.fit(model, simulated, 1)
    finally:
        response.fit = grab
    (fitted,) = model.responses
    doubles = torch.tensor([i for i, name in enumerate(simulated.data.conditions) if len(constituents(name)) == 2])
    start = tasks[0].starts(torch.zeros(len(doubles), dtype=torch.int64), torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = fitted(start, doubles)
        for name, buffer in fitted.table.named_buffers():
            assert buffer.shape[1] == 2, name
            buffer[doubles] = buffer[doubles].flip(1)
        after = fitted(start, doubles)
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)
    assert float(before.std(dim=0).mean()) > 1e-4  # doubles differ from each other
    assert table.missing == model._missing


# Alignment


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
    fresh.composer.load_state_dict(align(table, 32, 60, simulated, Runtime(head_seed=3)))
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
        return align(ActionTable(simulated, out), 16, 3, simulated, Runtime())

    plain = align(ActionTable(simulated, list(banks)), 16, 3, simulated, Runtime())
    other = changed(unseen)
    assert all(torch.equal(plain[name], other[name]) for name in plain)
    moved = changed(sorted(seen)[:3])
    assert any(not torch.equal(plain[name], moved[name]) for name in plain)


def first_response(model, data, monkeypatch):
    """The response as it is before its first step."""
    made = []

    def fit(task, settings, ledger, runtime):
        made.append(response.Response(task, settings, 1e-3, runtime.head_seed * 1_000))
        ledger.selection = "none"
        return [made[0].eval()]

    monkeypatch.setattr(response, "fit", fit)
    run.fit(model, data, 1)
    return made[0].composer.state_dict()


def test_a_response_starts_from_the_aligned_weights(simulated, monkeypatch):
    arguments = {**small("constant_encoder"), "features": "view_a+view_b"}
    model = registry.load("constant_encoder")
    plain = first_response(model(**arguments), simulated, monkeypatch)
    aligned = first_response(model(**arguments, align_epochs=5), simulated, monkeypatch)
    table = ActionTable(simulated, list(load_banks("view_a+view_b", simulated)))
    weights = align(table, arguments["action_width"], 5, simulated, Runtime(head_seed=1))
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
    one = align(table, 8, 1, simulated, Runtime())
    torch.rand(5)
    two = align(table, 8, 1, PerturbationDataModule(simulated.data, simulated.split, seed=1), Runtime())
    other = align(table, 8, 1, simulated, Runtime(head_seed=2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
