"""Responses by state on screens whose states are planted: who knows them is paid, who does not is not, noise is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import screens

from bench.core.conditions import CONTROL
from bench.data import cell_states
from bench.data.controls import control_pools
from bench.data.dataset import build
from bench.data.splits.split import Split
from bench.data.task import Task
from bench.results.predicted_states import means_by_state
from bench.stats.counts import recover
from bench.tracks.response.evaluate import over_units, replicates, values_of
from bench.tracks.response.metrics import METRICS
from bench.tracks.response.truth import halves, states

GENES, TESTED, CELLS, CONTROLS = 60, 8, 120, 600
MODULE, RESPONSE = slice(20, 32), slice(32, 60)  # genes that tell states apart, genes that respond


@dataclass(frozen=True)
class Planted:
    task: Task
    state: np.ndarray  # [cells] planted state
    effect: np.ndarray  # [conditions, 3, GENES] log changes by state


def planted(
    effect: np.ndarray, module: float, base: np.ndarray, seed: int = 0, cells: int = CELLS, depth: float = 0.3
) -> Planted:
    """Poisson cells in three planted states; eight conditions are test, two train.

    Args:
        effect: Log changes ``[TESTED + 2, 3, GENES]`` of each condition in each state.
        module: Log change of the module's genes between states; 0 = no state differs from another.
        base: Mean counts ``[GENES]``.
        seed: Of the cells.
        cells: Of each condition.
        depth: Cells are at most this share deeper or shallower than others.
    """
    rng = np.random.default_rng(seed)
    names = [CONTROL, *(f"G{i:02d}+ctrl" for i in range(TESTED + 2))]
    code = np.repeat(np.arange(len(names)), [CONTROLS] + [cells] * (TESTED + 2))
    state = rng.integers(0, 3, len(code))
    log_mean = np.tile(np.log(base), (len(code), 1))
    log_mean[:, MODULE] += module * np.where(np.arange(12) % 3 == state[:, None], 1.0, -0.5)
    log_mean += np.concatenate([np.zeros((1, 3, GENES)), effect])[code, state]
    counts = rng.poisson(np.exp(log_mean) * rng.uniform(1 - depth, 1 + depth, (len(code), 1)))
    obs = pd.DataFrame({"condition": np.array(names)[code], "context": "line0", "batch": "b0"})
    obs.index = pd.Index([f"cell{i:05d}" for i in range(len(code))])
    dataset = screens.screen(sp.csr_matrix(counts), obs)
    pools = control_pools(dataset, 1, 0)
    split = Split(
        kind="custom", seed=1, control_fold=0, train=tuple(names[-2:]), val=(), test=tuple(names[1:-2]), unused=(),
        subgroups={}, input_controls=pools[0], reference_controls=pools[1], input_cells=pools[2],
    )  # fmt: skip
    return Planted(Task(dataset, split), state, effect)


@pytest.fixture(scope="module")
def selective() -> Planted:
    """Each condition changes response genes of its own in one state alone."""
    rng = np.random.default_rng(4)
    effect = np.zeros((TESTED + 2, 3, GENES))
    effect[np.arange(TESTED + 2), np.arange(TESTED + 2) % 3, RESPONSE] = rng.normal(0, 0.8, (TESTED + 2, 28))
    return planted(effect, 1.2, rng.uniform(3, 8, GENES))


def facts_of(task: Task) -> dict:
    side = halves.draw([task.dataset.unit_rows(u) for u in task.units], len(task.dataset.condition), 5, 1)
    return states.state_facts(task, np.zeros(len(task.units), dtype=np.int64), side)


def truth_of(task: Task):
    from bench.tracks.response.truth import truth

    return truth.compute(task)


def ours(facts, shifts: np.ndarray) -> dict[str, np.ndarray]:
    return over_units(facts, values_of(facts, facts.c_in + facts.train_delta, None, shifts), [METRICS["state_r"]])[
        "state_r", "all"
    ]


def test_who_knows_the_states_is_paid_and_one_shift_for_all_cells_is_exactly_nothing(selective):
    task = selective.task
    facts = truth_of(task)
    assert not any(facts.state_reasons) and np.isfinite(facts.state_shift).all()
    rows = [task.dataset.barcode_index[b] for b in task.split.input_cells["line0"]]
    found = cell_states.input_states(task)[0]
    table = np.zeros((3, 3))
    np.add.at(table, (found, selective.state[rows]), 1)
    assert np.sort(table, axis=1)[:, -1].sum() > 0.95 * len(rows), "planted states are found from half of the counts"

    order = [int(name[1:3]) for name in facts.conditions]
    by_cell = selective.effect[order][:, selective.state[rows]]  # what is done to each input cell
    oracle = np.stack([means_by_state(moved, found, 3) for moved in by_cell])
    replicate = over_units(facts, replicates(facts), [METRICS["state_r"]])["state_r", "all"]["half_replicate"]
    assert ours(facts, oracle)["value"].min() > 0.8
    assert replicate.min() > 0.5
    assert ours(facts, -oracle)["value"].max() < -0.8
    assert abs(facts.state_change).max() < 0.12 and abs(facts.state_change.mean()) < 0.04

    # One shift for all cells, right on average, in float32 as cells hold it; and what each state has on top of it.
    same = np.repeat(facts.y - facts.c_in, len(rows), axis=0).reshape(len(order), len(rows), GENES)
    for moved in (same, (same + np.linspace(0, 1, 3)[found][None, :, None]).astype(np.float32)):
        blind = np.stack([means_by_state(each, found, 3) for each in moved])
        assert ours(facts, blind)["degenerate"].all() and not ours(facts, blind)["value"].any()


def test_the_truth_is_a_plain_mean_of_differences(selective):
    """Without strata of depth and with one way round, by hand: what is averaged is near, and exactly so by stratum."""
    task = selective.task
    facts, stated = facts_of(task), states.fitted(task)[0]
    ref = np.array([task.dataset.barcode_index[b] for b in task.split.reference_controls["line0"]])
    groups = [task.dataset.unit_rows(unit) for unit in task.units]
    cut = {"test": states.parts_of(task, np.concatenate(groups), (0, 2)), "ref": states.parts_of(task, ref, (0, 1))}
    expected = np.zeros((3, GENES))
    for a in (0, 1):
        at = {k: stated.states.assign(parts.ways[a], parts.library) for k, parts in cut.items()}
        depth = {k: np.searchsorted(stated.states.cuts, np.log(parts.library)) for k, parts in cut.items()}
        b = {k: parts.ways[1 - a].toarray() for k, parts in cut.items()}
        for s in range(3):
            cells = np.flatnonzero(at["test"][: len(groups[0])] == s)
            level = [b["ref"][(at["ref"] == s) & (depth["ref"] == depth["test"][i])].mean(axis=0) for i in cells]
            expected[s] += (b["test"][cells] - level).mean(axis=0) / 2
    np.testing.assert_allclose(facts["state_shift"][0], expected, atol=1e-5)
    # Both halves of a unit, weighted by their cells, are the whole: near it where their sizes are.
    np.testing.assert_allclose(facts["state_half"][:2, 0].mean(axis=0), expected, atol=0.15)


def replicate_without_states(monkeypatch: pytest.MonkeyPatch, split: bool, seed: int) -> float:
    """Half against half where no cell is in any state and each condition moves all cells alike."""
    rng = np.random.default_rng(2)
    base = np.full(GENES, 200.0)
    base[RESPONSE] = np.where(np.arange(28) < 4, 2.0, 200.0)  # eight genes are all noise: states are made of it
    effect = np.zeros((TESTED + 2, 3, GENES))
    effect[:, :, 32:36] = rng.normal(0, 0.6, (TESTED + 2, 1, 4))
    if not split:
        monkeypatch.setattr(cell_states, "halves", lambda known, rng: (both := _whole(known), both))
    facts = truth_of(planted(effect, 0.0, base, seed, cells=400, depth=0.0).task)
    found = over_units(facts, replicates(facts), [METRICS["state_r"]])["state_r", "all"]["half_replicate"]
    assert np.isfinite(found).sum() >= TESTED - 2
    return float(np.nanmean(found))


def _whole(known) -> sp.csr_matrix:
    depth = np.repeat(1e4 / known.library, np.diff(known.counts.indptr))
    return sp.csr_matrix(
        (np.log1p(known.counts.data * depth), known.counts.indices, known.counts.indptr), (known.counts.shape)
    )


@pytest.mark.ci
def test_splitting_counts_leaves_no_contrast_where_there_is_none(monkeypatch):
    """Three screens each; the standard error of one is about .05."""
    found = {
        split: np.mean([replicate_without_states(monkeypatch, split, seed) for seed in (3, 4, 5)])
        for split in (True, False)
    }
    assert abs(found[True]) < 0.1
    assert found[False] > 0.13, "chosen and measured by the same counts, noise agrees with itself"
    assert found[False] > found[True] + 0.08


def test_what_moves_cells_to_another_state_is_named():
    """Two conditions put all cells in one state: the share that leaves the other two is two thirds."""
    effect = np.zeros((TESTED + 2, 3, GENES))
    target = np.where(np.arange(12) % 3 == 0, 1.0, -0.5)
    for s in range(3):
        effect[:2, s, MODULE] = 1.2 * (target - np.where(np.arange(12) % 3 == s, 1.0, -0.5))
    found = facts_of(planted(effect, 1.2, np.full(GENES, 8.0)).task)
    np.testing.assert_allclose(found["state_change"][:2], 0.6, atol=0.1)  # root of half of (2/3)^2 + 2 (1/3)^2 = .58
    assert abs(found["state_change"][2:]).max() < 0.15
    assert np.isnan(found["state_shift"][:2]).any(axis=(1, 2)).all(), "no cell is left in a state"
    assert np.isfinite(found["state_shift"][2:]).all()


def test_values_that_are_no_counts_and_few_cells_have_a_reason(tiny, tiny_split):
    rng = np.random.default_rng(0)
    noisy = tiny.x.copy()
    noisy.data = (noisy.data * rng.uniform(0.8, 1.2, len(noisy.data))).astype(np.float32)
    scaled = build(
        "scaled", noisy, genes=tiny.genes, barcodes=tiny.barcodes, condition=np.array(tiny.conditions)[tiny.condition],
        context=np.array(tiny.contexts)[tiny.context], batch=np.array(tiny.batches)[tiny.batch], source="test",
    )  # fmt: skip
    assert not recover(noisy).exact.mean() > 0.5
    found = facts_of(Task(scaled, tiny_split))
    assert found["state_reasons"] == ("the values of its cells are not multiples of one count each",)
    assert found["state_shift"].shape[1] == 0 and np.isnan(found["state_change"]).all()
    few = tiny_split.model_copy(update={"input_controls": {"line0": tiny_split.input_controls["line0"][:8]}})
    assert facts_of(Task(tiny, few))["state_reasons"] == ("8 input controls are too few for 3 states",)


def test_order_of_cells_does_not_matter(selective):
    data, task = selective.task.dataset, selective.task
    order = np.random.default_rng(1).permutation(len(data.barcodes))
    shuffled = build(
        "shuffled", data.x[order], genes=data.genes, barcodes=data.barcodes[order],
        condition=np.array(data.conditions)[data.condition[order]], context=np.full(len(order), "line0"),
        batch=np.full(len(order), "b0"), source="test",
    )  # fmt: skip
    other = Task(shuffled, task.split)
    np.testing.assert_array_equal(cell_states.input_states(other)[0], cell_states.input_states(task)[0])
    a, b = facts_of(task)["state_shift"], facts_of(other)["state_shift"]
    np.testing.assert_allclose(a, b, atol=1e-5)
