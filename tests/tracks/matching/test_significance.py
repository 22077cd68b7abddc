"""p and q: uniform without signal, the same whatever was computed before, and the legacy form by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bench.tracks.matching import significance
from bench.tracks.matching.options import Options
from bench.tracks.matching.pairs import single_label
from bench.tracks.matching.precision import rank


def _plate(seed, labels=60, replicates=4, controls=24):
    """One plate whose labels mean nothing."""
    rng = np.random.default_rng(seed)
    names = np.r_[np.repeat([f"c{i}" for i in range(labels)], replicates), ["DMSO"] * controls]
    x = rng.normal(size=(len(names), 30))
    meta = pd.DataFrame({"s": rng.permutation(names), "p": "one"})
    meta["c"] = (meta["s"] == "DMSO").astype(int)
    paired = single_label(meta, ["s"], ["p"], ["c"], asked=np.flatnonzero(meta["c"] == 0).tolist())
    found = rank(x, paired.positives, paired.negatives)
    return found.frame(meta["s"].to_numpy()[found.query].astype(object))


def test_p_values_of_a_permuted_plate_are_uniform():
    p = np.concatenate([significance.profile_p(_plate(seed), 4_000) for seed in range(4)])
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.02 < (p < 0.05).mean() < 0.08


def test_labels_without_signal_are_not_found_more_often_than_promised():
    """The null of a mean in copairs takes the same draw for all profiles of one configuration: it is too wide."""
    p = np.concatenate(
        [significance.retrieved(_plate(seed), Options(null_size=4_000))["p_value"].to_numpy() for seed in range(4)]
    )
    assert (p < 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(p))


def test_the_legacy_form_is_the_geometric_mean_of_p_and_benjamini_hochberg():
    ap, options = _plate(1, labels=12), Options(null_size=1_000, aggregation="geomean_p")
    found = significance.retrieved(ap, options).set_index("label")
    null = significance.prepared(np.array([3]), np.array([27]), 1_000) / "seed0" / "ns1000" / "n27_k3.npy"
    draws = np.load(null)
    by_hand = {}
    for label, part in ap.groupby("label"):
        p = [(np.sum(draws >= np.float32(score)) + 1) / 1_001 for score in part["average_precision"]]
        by_hand[label] = np.exp(np.mean(np.log(p)))
    assert np.abs(found["p_value"] - pd.Series(by_hand)).max() < 1e-12
    wanted = multipletests(found["p_value"], method="fdr_bh")[1]
    assert np.abs(found["corrected_p_value"] - wanted).max() < 1e-12


def test_p_values_do_not_depend_on_what_was_computed_before(monkeypatch):
    ap, options = _plate(2, labels=10), Options(null_size=1_000)
    first = significance.retrieved(ap, options)
    significance._null_folder.cache_clear()
    significance.prepared(np.array([1, 2, 5]), np.array([9, 11, 40]), 1_000)
    assert significance.retrieved(ap, options).equals(first)


def test_nothing_is_kept_in_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    significance.retrieved(_plate(3, labels=10), Options(null_size=500))
    assert not list(tmp_path.iterdir())


def test_too_few_pairs_to_find_anything_are_named():
    """The best order of one right one of 17 is drawn by chance once in 17 times; of two of 17, once in 136."""

    def few(n_pos, labels=4, n_total=17):
        names = np.repeat([f"l{i}" for i in range(labels)], n_pos + 1)
        return pd.DataFrame(
            {"label": names, "average_precision": 1.0, "n_pos_pairs": n_pos, "n_total_pairs": n_total}
        ).assign(normalized_average_precision=1.0)

    legacy, own = Options(null_size=20_000, aggregation="geomean_p"), Options(null_size=20_000)
    chance = "by chance all 1 right of 17 pairs are first with p = 0.0588"
    assert significance.few_pairs(few(1), legacy) == f"nothing can be found at q < 0.05: {chance}; look at mAP*"
    assert f"'found' says little: {chance}" in significance.few_pairs(few(1), own)
    for options in (legacy, own):
        assert not significance.few_pairs(few(2), options)
        assert not significance.few_pairs(few(1), replace(options, threshold=0.06))
    # And so it is: a perfect order of 17 is not found by the one, and by the other as if it could not be drawn.
    by = {how.aggregation: [significance.retrieved(few(n), how) for n in (1, 2)] for how in (legacy, own)}
    one, two = by["geomean_p"]
    assert not one["retrieved"].any() and two["retrieved"].all()
    assert one["p_value"].min() == pytest.approx(1 / 17, abs=0.006)
    assert two["p_value"].min() == pytest.approx(1 / 136, abs=0.003)
    assert all(found["p_value"].max() == pytest.approx(1 / 20_001) for found in by["mean_ap_null"])
