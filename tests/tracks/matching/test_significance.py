"""p and q: uniform without signal, the same whatever was computed before, and the legacy form by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
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
