"""From truth and predictions to values: floors, replicates, subgroups, undefined values, honest numbers."""

import numpy as np
import pytest
import screens
from harness import predict, scored

from bench.core.conditions import constituents
from bench.data.task import Task
from bench.results.predictions import read
from bench.tracks.response import evaluate as panel
from bench.tracks.response import score
from bench.tracks.response.align import half_sample
from bench.tracks.response.metrics import METRICS, evaluate
from bench.tracks.response.truth import truth


@pytest.fixture(scope="module")
def facts(tiny, tiny_split):
    return truth.load(Task(tiny, tiny_split))


def score_of(facts, y_hat):
    return score.score_table(facts, y_hat, np.zeros(len(facts.conditions), dtype=int))


def test_a_perfect_prediction_is_perfect(facts, tiny_split):
    table = score_of(facts, facts.c_in + facts.y - facts.c_ref)
    levels = score.levels(table)["all"]
    for name in ("pearson_delta", "discrimination", "r2_delta"):
        assert levels[name].mean == pytest.approx(1.0), name
    for name in ("de_recall@20", "spearman_de"):  # the DE order is of z, the prediction's of size: near 1, not 1
        assert levels[name].mean > levels[name].floor
    assert levels["shift_ratio"].mean > -0.2  # a truth's own noise makes it larger than what it measures
    assert levels["shift_log_ratio"].mean > 0


def test_replicate_is_one_half_predicting_the_other_written_out(facts, tiny_split):
    table = score_of(facts, facts.c_in)
    i = 3
    mask = facts.expressed & ~facts.targets[i]
    values = [
        np.corrcoef(
            facts.half_y[h ^ 1, i, mask] - facts.c_in[i, mask], facts.half_y[h, i, mask] - facts.c_ref[i, mask]
        )[0, 1]
        for h in range(10)
    ]
    frame = table.frame
    row = frame[(frame["metric"] == "pearson_delta") & (frame["condition"] == facts.conditions[i])]
    assert row["half_replicate"].item() == pytest.approx(np.mean(values))
    assert score.levels(table)["all"]["pearson_delta"].replicate == pytest.approx(
        frame.loc[frame["metric"] == "pearson_delta", "half_replicate"].mean()
    )


def test_abstaining_gets_chance_and_is_counted(facts, tiny_split):
    levels = score.levels(score_of(facts, facts.c_in.astype(np.float32).astype(np.float64)))["all"]
    n = len(facts.conditions)
    assert levels["pearson_delta"].mean == 0
    assert levels["discrimination"].mean == pytest.approx(0.5, abs=1e-12)
    for name in ("pearson_delta", "spearman_de", "de_recall@20"):
        assert levels[name].n_degenerate == n, name
    genes = (facts.expressed & ~facts.targets).sum(axis=1)
    assert levels["de_recall@20"].mean == pytest.approx(np.mean(20 / genes))


def test_a_model_that_abstains_where_it_knows_nothing_does_not_gain(facts, tiny_split):
    full = facts.c_in + facts.train_delta
    half = full.copy()
    half[::2] = facts.c_in[::2]
    one, two = (score.levels(score_of(facts, y))["all"] for y in (full, half))
    assert two["pearson_delta"].n == one["pearson_delta"].n
    assert two["pearson_delta"].mean < one["pearson_delta"].mean


def test_undefined_because_of_the_truth_is_the_same_for_every_model(facts, tiny_split):
    rng = np.random.default_rng(0)
    patterns = []
    for y_hat in (facts.c_in, facts.c_in + facts.train_delta, facts.c_in + rng.normal(size=facts.y.shape)):
        table = score_of(facts, y_hat)
        patterns.append(table.frame["value"].isna().to_numpy())
    np.testing.assert_array_equal(patterns[0], patterns[1])
    np.testing.assert_array_equal(patterns[0], patterns[2])


def test_subgroup_levels_use_their_own_gallery(facts, tiny_split):
    rng = np.random.default_rng(1)
    table = score_of(facts, facts.c_in + facts.y - facts.c_ref + rng.normal(0, 0.3, facts.y.shape))
    n = {g: len(names) for g, names in tiny_split.subgroups.items()}
    for group, size in n.items():
        levels = score.levels(table)[group]
        assert levels["pearson_delta"].n == size
        assert levels["discrimination"].n == (size if size >= 5 else 0)  # under 5 there is no gallery to speak of
    # Six doubles are a gallery, four singles are none.
    assert score.levels(table)["all"]["discrimination"].n == 6 == sum("ctrl" not in name for name in facts.conditions)


def test_every_metric_is_in_every_record_with_floor_and_replicate(tiny, tiny_split, tmp_path):
    record, table = scored("additive", tiny, tiny_split, tmp_path)
    levels = score.levels(table)["all"]
    assert set(levels) == set(METRICS)
    for name, level in levels.items():
        assert level.floor is not None or level.n == 0, name
        # On so few genes no half has 20 significant ones: that metric has a value and no replicate.
        if "gears" not in METRICS[name].needs and not name.startswith("de_recall_sig") and level.n:
            assert level.replicate is not None, name
    kept = score.table_of(table)
    assert record.values_hash == kept.as_kept(learned=False).hash
    assert (kept.fallbacks("all") > 0).sum() == (table.frame.drop_duplicates("condition")["fallbacks"] > 0).sum()
    assert len(kept.conditions["all"]) == len(tiny_split.test)


def test_one_row_per_condition_scores_like_its_cells(tiny, tiny_split, facts, tmp_path):
    """An outside tool may hand in a mean: the score is the same."""
    import anndata

    predict("additive", tiny, tiny_split, tmp_path)
    means = anndata.read_h5ad(tmp_path / "p.h5ad")
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (50, means.n_vars))
    noise -= noise.mean(axis=0)
    cells = anndata.AnnData(
        np.concatenate([row + noise for row in np.asarray(means.X)]), obs=means.obs.loc[means.obs.index.repeat(50)]
    )
    cells.var_names = means.var_names
    cells.obs_names = [str(i) for i in range(cells.n_obs)]
    cells.write_h5ad(tmp_path / "cells.h5ad")
    arguments = (facts.units, facts.genes, {})
    np.testing.assert_allclose(
        read(tmp_path / "cells.h5ad", *arguments).y_hat, read(tmp_path / "p.h5ad", *arguments).y_hat, atol=1e-9
    )


@pytest.mark.ci
def test_a_table_holds_what_each_metric_gives_on_a_case_of_its_own(facts, monkeypatch):
    """Blocks, threads, galleries and products of matrices change no number: every metric, on every view, one by one."""
    monkeypatch.setattr(panel, "BLOCK_VALUES", 3 * len(facts.genes))
    rng = np.random.default_rng(0)
    y_hat = facts.c_in + facts.y - facts.c_ref + rng.normal(0, 0.1, facts.y.shape)
    y_hat[2] = facts.c_in[2]
    cells = [np.maximum(y + rng.normal(0, 0.5, (20 + i, len(y))), 0).astype(np.float32) for i, y in enumerate(y_hat)]
    none = np.zeros(len(facts.conditions), dtype=int)
    stated = (facts.state_shift + rng.normal(0, 0.1, facts.state_shift.shape)).astype(np.float32)
    stated[np.isnan(stated)] = 0.0
    frame = score.score_table(facts, y_hat, none, cells, stated).frame
    table = frame.set_index(["metric", "scope", "condition"]).sort_index()
    sample, floor = score.predicted_sample(facts, cells), facts.c_in + facts.train_delta

    def half_means(metric, guesses, rows):
        cases = [score.align(facts, *guess[:3], states=guess[3]).subset(rows) for guess in guesses]
        values = [evaluate(metric, case).values for case in cases]
        known = np.isfinite(values)
        total = np.where(known, values, 0).sum(axis=0)
        return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)

    halves = range(10)
    guesses = {
        "value": [(y_hat, None, sample, stated)],
        "floor": [(floor, None, None, 0 * stated)],
        "half_value": [(y_hat, h, sample, stated) for h in halves],
        "half_floor": [(floor, h, None, stated) for h in halves],
        "half_replicate": [
            (facts.half_y[h ^ 1], h, half_sample(facts, h ^ 1), facts.state_half[h ^ 1]) for h in halves
        ],
    }
    number = np.array([len(constituents(name)) for name in facts.conditions])
    for name, metric in METRICS.items():
        for scope in table.loc[name].index.unique("scope"):
            part = table.loc[name, scope]
            rows = np.flatnonzero(np.isin(facts.conditions, part.index))
            groups = [rows[number[rows] == n] for n in np.unique(number[rows])] if "peers" in metric.needs else [rows]
            for column, wanted in guesses.items():
                absent = column in ("half_value", "half_floor") and metric.family is None
                if absent or ("gears" in metric.needs and column.startswith("half")):
                    assert part[column].isna().all()
                    continue
                for mine in groups:
                    found = part.loc[np.array(facts.conditions)[mine], column]
                    expected = half_means(metric, wanted, mine)
                    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, err_msg=f"{name} {column}")


def test_a_condition_moves_identity_by_its_row_and_its_column(facts):
    """Delete each condition in turn: without it the sum of all contests changes by its row and its column."""
    rng = np.random.default_rng(0)
    y_hat = facts.c_in + facts.y - facts.c_ref + rng.normal(0, 0.6, facts.y.shape)
    frame = score.score_table(facts, y_hat, np.zeros(len(facts.conditions), dtype=int)).frame
    frame = frame[(frame["metric"] == "discrimination") & (frame["scope"] == "all")]
    number = np.array([len(constituents(name)) for name in facts.conditions])
    for n in np.unique(number):
        rows = np.flatnonzero(number == n)
        genes = facts.expressed & ~facts.targets[rows].any(axis=0)
        true, guess = ((x[rows] - facts.train_delta)[:, genes] for x in (facts.y - facts.c_ref, y_hat - facts.c_in))
        cosine = (guess @ true.T) / np.linalg.norm(guess, axis=1)[:, None] / np.linalg.norm(true, axis=1)
        won = (cosine < np.diagonal(cosine)[:, None]).astype(float)
        found = frame.iloc[rows]
        if len(rows) < 5:
            assert found[["value", "influence"]].isna().all(axis=None)
            continue
        others = len(rows) - 1
        np.testing.assert_allclose(found["value"], won.sum(axis=1) / others, atol=1e-12)
        theta = found["value"].mean()
        np.testing.assert_allclose(found["influence"], won.sum(axis=0) / others - theta, atol=1e-12)
        for i in range(len(rows)):
            kept = np.arange(len(rows)) != i
            linear = found["value"].iloc[i] + found["influence"].iloc[i]
            np.testing.assert_allclose(won.sum() - others * (linear + theta), won[np.ix_(kept, kept)].sum(), atol=1e-9)


def permuted(counts, obs, seed):
    """Shuffle condition labels over all cells, controls included: no label means anything any more."""
    shuffled = obs.copy()
    shuffled["condition"] = np.random.default_rng(seed).permutation(obs["condition"].to_numpy())
    return screens.screen(counts, shuffled)


@pytest.mark.ci
def test_without_signal_disjoint_controls_score_zero_and_shared_ones_do_not():
    """40 label permutations: the mean disjoint Pearson delta of train_mean is 0 within 3 standard errors, the shared
    form exceeds .3. This is why the harness holds controls back."""
    counts, obs = screens.tiny_counts(controls=60, cells=20)
    ours, shared = [], []
    for seed in range(40):
        data = permuted(counts, obs, seed)
        split = screens.hand_split(data, seed=seed)
        facts = truth.compute(Task(data, split))
        case = score.align(facts, facts.c_in + facts.train_delta)
        ours.append(METRICS["pearson_delta"].compute(case).mean())
        shared.append(METRICS["gears_pearson_delta"].compute(case).mean())
    ours, shared = np.array(ours), np.array(shared)
    assert abs(ours.mean()) < 3 * ours.std(ddof=1) / np.sqrt(40)
    assert shared.mean() > 0.3


@pytest.mark.ci
def test_scoring_twice_gives_the_same_record(tiny, tiny_split, tmp_path):
    one, _ = scored("linear", tiny, tiny_split, tmp_path)
    two, _ = scored("linear", tiny, tiny_split, tmp_path)
    assert one.values_hash == two.values_hash
    assert one.run_id == two.run_id
