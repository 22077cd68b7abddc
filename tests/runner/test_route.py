"""States in another form or normalisation than the model's are refused or named, also where its genes are a part."""

from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
import screens
from harness import small, spec_of

import bench
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.runner import fit, planner
from bench.runner.saved import Fitted

#: Genes of the model; counts were normalised over all 60.
KEPT = 30


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A saved closed form on half of the genes, scaled counts of a double, and its controls, on all of them."""
    made = tmp_path_factory.mktemp("route")
    whole = screens.tiny_screen(effect=2.0)
    data = replace(whole, x=whole.x[:, :KEPT].tocsr(), genes=whole.genes[:KEPT])
    task = Task(data, screens.hand_split(data))
    model = registry.load("additive")(**small("additive"))
    fit.fit(model, PerturbationDataModule(task, seed=1), 1)
    Fitted("additive", model, small("additive"), task, spec_of("additive", task)).save(made / "model")
    goal, start = (np.expm1(whole.x[whole.cells_of[name]].toarray().astype(float)) for name in ("G00+G01", "ctrl"))
    return made / "model", goal, start


def state(values, genes=screens.GENES):
    return anndata.AnnData(values.astype(np.float32), var=pd.DataFrame(index=genes[: values.shape[1]]))


def test_the_model_says_that_its_cells_add_up_to_nothing(here):
    """Else every state would be brought to its total, and nothing below could go wrong."""
    from bench.runner.home import load_model

    folder, goal, start = here
    assert load_model(folder).described.normalised_to is None
    found = planner.solve(folder, state(np.log1p(goal)), state(np.log1p(start)))
    assert not [line for line in found.notes if "start" in line or "scaled counts" in line]
    some = planner.solve(folder, state(np.log1p(goal)[:, :KEPT]), state(np.log1p(start)[:, :KEPT]))
    pd.testing.assert_frame_equal(found.table, some.table)


def over(rates, genes):
    """Normalised to the same total, over some genes only."""
    return np.log1p(rates / rates[:, genes].sum(axis=1, keepdims=True) * 1e4)


REFUSED = [
    (lambda r: over(r, slice(KEPT))[:, :KEPT], "add up to 10,000 over the model's 30 genes.*over more genes"),
    (lambda r: over(r, slice(0, 5)), "target: its cells add up to .* times what those of the start do.*fewer genes"),
    (lambda r: np.log1p(r * 100), "target: its cells add up to 1?[0-9]{2} times .*another total"),
    (lambda r: np.log1p(r / 20), "target: its cells add up to 0.0[0-9]* times .*another total"),
    (lambda r: np.log2(r + 1), r"target: the values are log2\(x \+ 1\) of scaled counts, and the model takes log1p"),
    (lambda r: np.log10(r + 1), r"target: the values are log10\(x \+ 1\) of scaled counts"),
    (lambda r: np.log1p(np.log1p(r)), "target: the values are log1p of log1p of scaled counts"),
    (lambda r: r / r.max() * 10, "target: the values are scaled counts, not logged"),
    (lambda r: np.sqrt(r) / 6, "target: the values are square roots of scaled counts"),
    (lambda r: r, "target: the largest value is .*: no log1p of counts .* Take the log, or give the counts.$"),
    (
        lambda r: np.pad(np.log1p(r[:, KEPT:]), ((0, 0), (KEPT, 0))),
        "target: none of its 30 cells has a count in any of the model's 30 genes",
    ),
    (lambda r: np.log1p(r) - np.log1p(r).mean(axis=0), "target: .*negative values .*before scaling"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_a_target_in_another_normalisation_is_refused(here, change, words):
    folder, goal, start = here
    with pytest.raises(BenchError, match=words):
        bench.plan(folder, state(change(goal)), state(np.log1p(start)))


def test_a_start_in_another_form_is_refused_as_well(here):
    folder, goal, start = here
    with pytest.raises(BenchError, match=r"start: the values are log2\(x \+ 1\) of scaled counts"):
        bench.plan(folder, state(np.log1p(goal)), state(np.log2(start + 1)))
    with pytest.raises(BenchError, match="start: its cells add up to 10,000 over the model's 30 genes"):
        bench.plan(folder, state(np.log1p(goal)), state(over(start, slice(KEPT))[:, :KEPT]))
    with pytest.raises(BenchError, match="start: none of its 120 cells has a count"):
        bench.plan(folder, state(np.log1p(goal)), state(np.zeros_like(start)))


FILES = [
    (lambda r: np.log2(r + 1), "the values are log2"),
    (lambda r: over(r, slice(KEPT))[:, :KEPT], "its cells add up to 10,000"),
    (lambda r: np.log1p(r * 100), "its cells add up to"),
    (lambda r: r, "the largest value is"),
    (np.zeros_like, "none of its 30 cells has a count"),
]


def test_a_file_is_named_whatever_is_wrong_with_it(here, tmp_path):
    folder, goal, start = here
    path, begin = tmp_path / "half.h5ad", state(np.log1p(start))
    for change, words in FILES:
        state(change(goal)).write_h5ad(path)
        with pytest.raises(BenchError) as caught:
            bench.plan(folder, path, begin)
        assert str(caught.value).startswith(f"{path}: {words}") and "card" not in str(caught.value), caught.value
    begin.write_h5ad(path)
    with pytest.raises(BenchError, match=f"start .* and target {path} .*cannot be told apart"):
        bench.plan(folder, path, begin)


def test_cells_without_counts_among_others_are_named_and_left_out_of_the_level(here):
    folder, goal, start = here
    goal = goal.copy()
    goal[: len(goal) // 2 + 1] = 0
    found = planner.solve(folder, state(np.log1p(goal)), state(np.log1p(start)))
    assert "target: 16 of its 30 cells have no count in any of the model's 30 genes: filter them out" in found.notes
    with pytest.raises(BenchError, match="target: its cells add up to .* times what those of the start do"):
        bench.plan(folder, state(np.log1p(goal * 100)), state(np.log1p(start)))


def test_what_may_be_meant_is_named(here):
    folder, goal, start = here
    three = planner.solve(folder, state(np.log1p(goal * 3)), state(np.log1p(start)))
    assert any(
        line.startswith("target: its cells add up to") and "another normalisation" in line for line in three.notes
    )
    values = np.log1p(goal)
    scaled = planner.solve(folder, state(values * np.linspace(0.5, 1.2, 60)), state(np.log1p(start)))
    assert any(line.startswith("target: the values are no log1p of scaled counts") for line in scaled.notes)
