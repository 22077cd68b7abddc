"""The truth of several contexts, unit by unit: a toy whose numbers are read off a table, many lines against numpy."""

import contexts
import numpy as np
import pandas as pd
import pytest
from screens import dense, rows_of

from bench.core.conditions import constituents
from bench.core.units import Unit
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.stats.differential import wilcoxon
from bench.stats.halved import Halved
from bench.tracks.response import score
from bench.tracks.response.evaluate import over_units, values_of
from bench.tracks.response.truth import truth


@pytest.fixture(scope="module")
def toy():
    task = Task(*contexts.toy())
    return task, truth.compute(task)


@pytest.fixture(scope="module")
def many():
    task = Task(*contexts.lines())
    return task, truth.compute(task)


def table(names):
    return np.array([contexts.TOY[name] for name in names])


def test_a_toy_by_hand(toy):
    task, facts = toy
    # C has 3 cells on the right: not evaluated there.
    expected = [("A+B", "left"), ("A+B", "right"), ("C+ctrl", "left")]
    assert task.units == facts.units == tuple(Unit(*each) for each in expected)
    assert facts.contexts == ("left", "right") and facts.context.tolist() == [0, 1, 0]
    assert facts.cells.tolist() == [10, 10, 10]
    control = table([("ctrl", "left"), ("ctrl", "right"), ("ctrl", "left")])
    np.testing.assert_allclose(facts.y, table(expected), atol=1e-6)
    np.testing.assert_allclose(facts.c_in, control, atol=1e-6)
    np.testing.assert_allclose(facts.c_ref, control, atol=1e-6)
    np.testing.assert_allclose(facts.half_y, np.tile(table(expected), (10, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(facts.gears_control, table([("ctrl", "left"), ("ctrl", "right")]), atol=1e-6)
    # Three train units, each counting once whatever its cells: A left (1, 0, 0, 0), A right (0, 3, 0, 0), B left (0, 0,
    # 2, 0). By condition, or by cells, it would be another mean.
    np.testing.assert_allclose(facts.train_delta, [1 / 3, 1, 2 / 3, 0], atol=1e-6)
    train = [("A+ctrl", "left"), ("A+ctrl", "right"), ("B+ctrl", "left")]
    np.testing.assert_allclose(facts.train_y, table(train).mean(0), atol=1e-6)


def test_a_double_adds_the_singles_of_its_own_context(toy):
    """B was measured on the left only: on the right its double with A has no additive shift."""
    _, facts = toy
    assert facts.double_row.tolist() == [0, -1, -1]
    np.testing.assert_allclose(facts.additive[0, 0], [1, 0, 2, 0], atol=1e-6)


def test_the_floor_is_that_of_the_truth_and_adds_to_each_context(toy, many):
    for task, facts in (toy, many):
        module = PerturbationDataModule(task)
        np.testing.assert_allclose(module.train_shift, facts.train_delta, atol=1e-12)
        np.testing.assert_allclose(module.input_means[facts.context], facts.c_in, atol=1e-12)


def test_every_unit_of_many_lines_against_numpy(many):
    task, facts = many
    data, split = task.dataset, task.split
    condition, context = np.array(data.conditions)[data.condition], np.array(data.contexts)[data.context]
    sizes = pd.Series(1, index=pd.MultiIndex.from_arrays([condition, context])).groupby(level=[0, 1]).size()
    expected = [Unit(n, c) for n in split.test for c in data.contexts if sizes.get((n, c), 0) >= data.min_cells]
    present = [Unit(n, c) for n in split.test for c in data.contexts if (n, c) in sizes.index]
    assert facts.units == tuple(expected) and len(expected) < len(present) < 4 * len(split.test)
    for i, unit in enumerate(facts.units):
        rows = np.flatnonzero((condition == unit.perturbation) & (context == unit.context))
        np.testing.assert_allclose(facts.y[i], dense(data, rows).mean(0), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(facts.variance[i], dense(data, rows).var(0, ddof=1), rtol=1e-5, atol=1e-6)
        for name, pool in (("c_in", split.input_cells), ("c_ref", split.reference_controls)):
            mean = dense(data, rows_of(data, pool[unit.context])).mean(0)
            np.testing.assert_allclose(getattr(facts, name)[i], mean, rtol=1e-10, atol=1e-12)
        n = len(rows)
        both = (facts.half_y[0, i] * -(-n // 2) + facts.half_y[1, i] * (n // 2)) / n
        np.testing.assert_allclose(both, facts.y[i], rtol=1e-10, atol=1e-12)
        genes = [data.gene_index[gene] for gene in constituents(unit.perturbation)]
        assert np.flatnonzero(facts.targets[i]).tolist() == sorted(genes)


def test_de_is_tested_against_the_reference_controls_of_the_unit(many):
    from scipy import stats

    task, facts = many
    data = task.dataset
    for i in range(0, len(facts.units), 5):
        unit = facts.units[i]
        rows = data.unit_rows(unit)
        pool = rows_of(data, task.split.reference_controls[unit.context])
        p = stats.mannwhitneyu(dense(data, rows), dense(data, pool), axis=0, method="asymptotic", use_continuity=False)
        ours = 2 * stats.norm.sf(np.abs(facts.de_z[i]))
        np.testing.assert_allclose(ours, np.nan_to_num(p.pvalue, nan=1.0), rtol=1e-6, atol=1e-12)
        alone = Halved(rows, np.zeros(len(rows), dtype=np.int64), np.zeros((0, len(rows)), dtype=np.uint8), 1)
        z = wilcoxon(data.x, alone, np.zeros_like(data.context), [np.array(pool)])
        np.testing.assert_allclose(facts.de_z[i], z[0, 0], rtol=1e-12, atol=1e-12)


def test_identity_is_told_within_a_context(many):
    """Scored with the other contexts or without them, a unit's discrimination is the same."""
    task, facts = many
    rng = np.random.default_rng(0)
    y_hat = facts.c_in + 0.5 * (facts.y - facts.c_ref) + rng.normal(0, 0.8, facts.y.shape)
    found = over_units(facts, values_of(facts, y_hat, None))
    elsewhere = 3.0 * rng.normal(size=(len(facts.contexts), y_hat.shape[1]))
    elsewhere[0] = 0.0
    moved = y_hat + elsewhere[facts.context]
    away = over_units(facts, values_of(facts, moved, None))
    first = facts.context == 0
    for name in ("discrimination", "discrimination_raw"):
        together = found[name, "all"]
        assert 0.6 < np.nanmean(together["value"]) < 1
        np.testing.assert_array_equal(away[name, "all"]["value"][first], together["value"][first])
        for c in range(len(facts.contexts)):
            for n in np.unique(facts.stratum):
                rows = np.flatnonzero((facts.context == c) & (facts.stratum == n))
                values = by_loops(facts, y_hat, rows, centred=name == "discrimination") if len(rows) >= 5 else np.nan
                np.testing.assert_allclose(together["value"][rows], values, atol=1e-12)
        assert np.isfinite(together["value"]).sum() > 10


def by_loops(facts, y_hat, rows, centred):
    genes = facts.expressed & ~facts.targets[rows].any(axis=0)
    centre = facts.train_delta[genes] if centred else 0.0
    true = [(facts.y - facts.c_ref)[r][genes] - centre for r in rows]
    out = []
    for i, r in enumerate(rows):
        guess = (y_hat - facts.c_in)[r][genes] - centre
        cosine = [guess @ t / np.linalg.norm(guess) / np.linalg.norm(t) for t in true]
        out.append(np.mean([c < cosine[i] for j, c in enumerate(cosine) if j != i]))
    return out


@pytest.mark.ci
def test_a_score_table_has_a_row_for_each_unit(many):
    task, facts = many
    none = np.zeros(len(facts.units), dtype=np.int64)
    rows = score.score_table(facts, facts.c_in + facts.train_delta, none).frame
    whole = rows[(rows["scope"] == "all") & (rows["metric"] == "pearson_delta")]
    assert list(zip(whole["condition"], whole["context"], strict=True)) == [tuple(unit) for unit in facts.units]
    np.testing.assert_array_equal(whole["value"], whole["floor"])
    assert not rows.duplicated(["condition", "context", "metric", "scope"]).any()


def test_a_truth_of_units_comes_back_from_the_cache(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    task, facts = toy
    truth.load(task)
    monkeypatch.setattr(truth, "compute", lambda *_: pytest.fail("computed again"))
    assert truth.load(task).units == facts.units
