"""Units: their names, and a whole run on several contexts."""

import contexts
import numpy as np
import pytest
from harness import predict, scored
from hypothesis import given
from hypothesis import strategies as st

from bench.core.units import Unit
from bench.data.task import Task
from bench.tracks.response.truth import truth

NAMES = st.sampled_from(["A", "B", "C"])


def test_text_names_the_context_only_where_there_are_several():
    unit = Unit("KLF1+ctrl", "K562")
    assert unit.text(["K562"]) == "KLF1+ctrl" and unit.text(["K562", "RPE1"]) == "KLF1+ctrl | K562"


@given(NAMES, NAMES, st.sampled_from(["K562", "RPE1"]))
def test_a_unit_is_its_set_of_constituents_and_its_context(a, b, context):
    assert Unit(f"{a}+{b}", context).identity == Unit(f"{b}+{a}", context).identity
    assert Unit(f"{a}+{b}", context).identity != Unit(f"{a}+{b}", "HepG2").identity
    assert (Unit(f"{a}+ctrl", context).identity == Unit(f"ctrl+{b}", context).identity) == (a == b)


@pytest.mark.thinned(1)
@pytest.mark.parametrize("name", ["train_mean", "additive", "nonctl_mean", "no_change"])
def test_closed_forms_move_each_context_from_its_own_controls(name, tmp_path):
    """Their shift of a condition is the same in every context; what it is added to is not."""
    data, split = contexts.lines()
    facts = truth.load(Task(data, split))
    model, _, got = predict(name, data, split, tmp_path)
    table = model.shifts([data.conditions.index(n) for n in facts.conditions]).numpy()
    np.testing.assert_allclose(got.y_hat, facts.c_in + table, atol=1e-9)
    if name == "train_mean":
        np.testing.assert_allclose(table, np.tile(facts.train_delta, (len(table), 1)), atol=1e-12)


@pytest.mark.ci
def test_a_record_of_several_contexts_has_every_unit(tmp_path):
    data, split = contexts.lines()
    task = Task(data, split)
    record, found = scored("train_mean", data, split, tmp_path)
    table = found.frame
    whole = table[(table["scope"] == "all") & (table["metric"] == "pearson_delta")]
    assert [Unit(*pair) for pair in zip(whole["condition"], whole["context"], strict=True)] == list(task.units)
    np.testing.assert_allclose(whole["value"], whole["floor"], atol=1e-9)
    assert whole["context"].nunique() == len(data.contexts)
    assert record.hashes["truth"] == truth.task_id(task)
