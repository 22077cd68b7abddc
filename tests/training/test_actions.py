"""Actions of conditions: what is known of each perturbed gene, and what is not."""

import numpy as np
import pytest
import torch
from harness import small

from bench.core.conditions import constituents
from bench.data.features.bank import FeatureBank
from bench.data.features.resolve import load_banks
from bench.models import encoder_model, registry
from bench.models.response import mean_fit
from bench.models.response.actions import ActionTable
from bench.nn.composer import Composer
from bench.runner import fit as run


def bank(module, without=(), name="made", seed=0):
    genes = tuple(gene for gene in module.genes if gene not in without)
    values = np.random.default_rng(seed).normal(3, 2, (len(genes), 5)).astype(np.float32)
    return FeatureBank(name, genes, values, "made by hand")


def table_of(module, *banks):
    return ActionTable(module, list(banks)), {name: i for i, name in enumerate(module.dataset.conditions)}


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


@pytest.mark.ci
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


@pytest.mark.ci
def test_the_order_within_a_double_changes_no_prediction(simulated):
    """The predictor sees a set: exchange the constituents of every double."""
    table = ActionTable(simulated, list(load_banks("card", simulated)))
    model = registry.load("constant_encoder")(**small("constant_encoder"))
    tasks = []
    grab = mean_fit.fit

    def keep(task, *rest):
        tasks.append(task)
        return grab(task, *rest)

    mean_fit.fit = keep
    try:
        run.fit(model, simulated, 1)
    finally:
        mean_fit.fit = grab
    (fitted,) = model.response.networks
    doubles = torch.tensor([i for i, name in enumerate(simulated.dataset.conditions) if len(constituents(name)) == 2])
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
