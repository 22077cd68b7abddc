"""Bars for several contexts, against tables small enough to work out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import contexts
import numpy as np
import pytest
import screens

from baselines.control_ridge import ControlRidge
from baselines.fold_change import FoldChange
from baselines.nearest_context import NearestContext
from baselines.same_perturbation_mean import SamePerturbationMean
from baselines.two_way_sum import TwoWaySum
from bench.core.units import Unit
from bench.data.datamodule import PerturbationDataModule
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.models.base import ShiftModel

BARS = [SamePerturbationMean, NearestContext, TwoWaySum, FoldChange, ControlRidge]


def shifts(model: ShiftModel, module: PerturbationDataModule) -> dict[Unit, np.ndarray]:
    """Fit, and read the predicted shift of every test unit off its predicted cells."""
    model.fit(module)
    found = {}
    for unit, batch in zip(module.task.units, module.predict_dataloader(), strict=True):
        moved = model.predict_step(batch) - batch.controls.double()
        found[unit] = moved.mean(dim=0).numpy()
        np.testing.assert_allclose(moved, np.tile(found[unit], (len(moved), 1)), atol=1e-6)
    return found


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """C in the left context is asked of a model that saw A in both, B and C in one each; see ``contexts.TOY``."""
    dataset, _ = contexts.toy()
    path = tmp_path_factory.mktemp("split") / "split.json"
    lists = {"train": ["A+ctrl", "B+ctrl | left", "C+ctrl | right"], "test": ["C+ctrl | left", "A+B | right"]}
    path.write_text(json.dumps(lists))
    dataset = replace(dataset, min_cells=3)
    return PerturbationDataModule(Task(dataset, draw(dataset, "custom", 1, custom=path)), seed=1)


A_LEFT, A_RIGHT = np.array([1.0, 0, 0, 0]), np.array([0, 3.0, 0, 0])
B_LEFT, C_RIGHT = np.array([0, 0, 2.0, 0]), np.array([0, 0, 0, 4.0])
C_IN_LEFT, AB_IN_RIGHT = Unit("C+ctrl", "left"), Unit("A+B", "right")


def test_the_same_perturbation_elsewhere(toy):
    """Of a combination that nobody saw it is the sum of its parts, each averaged over contexts."""
    found = shifts(SamePerturbationMean(), toy)
    np.testing.assert_allclose(found[C_IN_LEFT], C_RIGHT, atol=1e-6)
    np.testing.assert_allclose(found[AB_IN_RIGHT], (A_LEFT + A_RIGHT) / 2 + B_LEFT, atol=1e-6)


def test_a_context_adds_what_its_train_units_have_beyond_elsewhere(toy):
    """Left: A is (1 0 0 0) where elsewhere and here it is (.5 1.5 0 0) in the mean, B is its own mean: half of that."""
    found = shifts(TwoWaySum(share=1.0), toy)
    own_left = ((A_LEFT - (A_LEFT + A_RIGHT) / 2) + 0 * B_LEFT) / 2
    np.testing.assert_allclose(found[C_IN_LEFT], C_RIGHT + own_left, atol=1e-6)
    half = shifts(TwoWaySum(share=0.5), toy)
    np.testing.assert_allclose(half[C_IN_LEFT], C_RIGHT + own_left / 2, atol=1e-6)


def test_fold_changes_are_of_the_contexts_own_expression(toy):
    """Gene 3 rises from 4 to 8 on the right; from 1 on the left it rises by the same factor."""
    found = shifts(FoldChange(pseudocount=1e-9), toy)
    factor = np.expm1(8.0) / np.expm1(4.0)
    np.testing.assert_allclose(found[C_IN_LEFT], [0, 0, 0, np.log1p(np.expm1(1.0) * factor) - 1.0], atol=1e-5)


def test_the_nearest_context_is_that_of_the_most_similar_controls():
    """Line 2 is as unlike line 0 as it can be, and nearest to line 1 by construction of ``screens.tiny_counts``."""
    dataset = screens.tiny_screen(contexts=3, cells=15, controls=60)
    split = draw(dataset, "unseen_context", 1)
    module = PerturbationDataModule(Task(dataset, split), seed=1)
    assert split.units is not None
    tested = split.units["test"][0].context
    others = sorted({unit.context for unit in split.units["train"]})
    means = {name: module.input_means[dataset.contexts.index(name)] for name in (tested, *others)}
    nearest = min(others, key=lambda name: np.linalg.norm(means[name] - means[tested]))
    bulk = module.pseudobulk("train")
    found = shifts(NearestContext(), module)
    for unit, shift in found.items():
        row = bulk.units.index(Unit(unit.perturbation, nearest))
        np.testing.assert_allclose(shift, bulk.shifts[row], atol=1e-5)


def test_control_ridge_learns_what_follows_from_the_state_of_the_controls():
    """Ten contexts on a line: one gene's level says how strong every response is, and no other bar can know."""
    rng = np.random.default_rng(0)
    rows, labels = [], []
    response = {"A": np.r_[0, rng.normal(0, 1, 11)], "B": np.r_[0, rng.normal(0, 1, 11)]}
    for c in range(10):
        level = 0.2 + 0.15 * c
        base = np.r_[level, np.full(11, 6.0)]
        for name in ("ctrl", "A+ctrl", "B+ctrl"):
            n = 80 if name == "ctrl" else 30
            moved = base + (level * response[name[0]] if name != "ctrl" else 0)
            rows.append(np.maximum(moved + rng.normal(0, 0.02, (n, 12)), 0))
            labels += [(name, f"line{c}")] * n
    dataset = screens.from_cells("levels", rows, labels)
    module = PerturbationDataModule(Task(dataset, draw(dataset, "unseen_context", 1)), seed=1)
    ridge, mean = ControlRidge(components=12, ridge=1e-3), SamePerturbationMean()
    for unit, shift in shifts(ridge, module).items():
        true = (0.2 + 0.15 * int(unit.context[-1])) * response[unit.perturbation[0]]
        np.testing.assert_allclose(shift, true, atol=0.12)
    errors = [
        np.mean([
            np.abs(shift - (0.2 + 0.15 * int(u.context[-1])) * response[u.perturbation[0]]).mean()
            for u, shift in shifts(model, module).items()
        ])
        for model in (ridge, mean)
    ]  # fmt: skip
    assert errors[0] < 0.4 * errors[1]


@pytest.mark.parametrize("bar", BARS)
def test_what_is_measured_of_test_units_changes_no_bar(bar):
    """Corrupted test cells and reference controls, bit for bit."""
    dataset = screens.tiny_screen(contexts=5, cells=12, controls=40)
    split = draw(dataset, "few_shot_context:k=4", 1)
    task = Task(dataset, split)
    x = dataset.x.toarray()
    hidden = [dataset.barcode_index[b] for pool in split.reference_controls.values() for b in pool]
    rows = np.r_[task.rows("test"), hidden]
    x[rows] = np.random.default_rng(0).permutation(x[rows]) * 3
    other = replace(dataset, x=screens.sp.csr_matrix(x))
    first, second = (shifts(bar(), PerturbationDataModule(Task(data, split), seed=1)) for data in (dataset, other))
    assert first.keys() == second.keys()
    for unit in first:
        np.testing.assert_array_equal(first[unit], second[unit])


@pytest.mark.parametrize(
    ("bar", "arguments", "message"),
    [
        (TwoWaySum, {"share": 1.5}, "share is 1.5"),
        (FoldChange, {"pseudocount": -1.0}, "pseudocount is -1"),
        (ControlRidge, {"components": -1}, "components is -1"),
        (ControlRidge, {"ridge": float("nan")}, "ridge is nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(bar, arguments, message):
    with pytest.raises(ValueError, match=message):
        bar(**arguments)
