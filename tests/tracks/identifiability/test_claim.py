"""Training seeds are averaged inside a data seed; intervals are over data seeds alone."""

import numpy as np
import pandas as pd
import pytest
from harness import bare_record, made_spec
from scipy import stats

from bench.cli.boards import leaderboard
from bench.data.known_latents import load
from bench.results import everything, store
from bench.results.by_seed import by_seed, interval, paired
from bench.tracks.identifiability.claim import table, verdict
from bench.tracks.identifiability.track import TRACK


def made(model, level, data_seed, seed=1, kind="model"):
    spec = made_spec(model, split_seed=data_seed, pretrain_seed=seed, head_seed=seed)
    return bare_record(
        spec,
        track=TRACK.name,
        track_version=TRACK.version,
        kind=kind,
        git_dirty=False,
        numbers={"mcc_within": level, "r2_i": None},
        values_hash=None,
    )


def test_the_interval_is_that_of_a_t_test():
    values = np.array([0.3, 0.35, 0.28, 0.4, 0.31])
    found, wanted = interval(values), stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(wanted), abs=1e-9)
    other = np.array([0.2, 0.3, 0.21, 0.33, 0.2])
    difference = paired(dict(enumerate(values)), dict(enumerate(other)))
    wanted = stats.ttest_rel(values, other).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx(tuple(wanted), abs=1e-9)
    assert np.isnan(interval(values[:1]).low) and interval(values[:1]).mean == 0.3


def test_more_training_seeds_make_no_more_replicates():
    levels = {1: (0.2, 0.4), 2: (0.5, 0.5), 3: (0.3, 0.7)}
    records = [made("m", level, data, seed) for data, pair in levels.items() for seed, level in enumerate(pair, 1)]
    assert by_seed(records, "mcc_within") == pytest.approx({1: 0.3, 2: 0.5, 3: 0.5})
    row = table(records).iloc[0]
    wanted = stats.ttest_1samp([0.3, 0.5, 0.5], 0).confidence_interval(0.95)
    assert (row["n_seeds"], row["n_training_seeds"]) == (3, 2)
    assert (row["mcc_within_ci_low"], row["mcc_within_ci_high"]) == pytest.approx(tuple(wanted), abs=1e-9)
    assert np.isnan(row["r2_i"])


def test_a_model_is_above_another_only_if_its_whole_interval_is():
    near, far, wide = ([0.3 + x for x in by] for by in ((0.06, 0.07, 0.065), (0.2, 0.21, 0.2), (0.0, 0.3, 0.1)))
    base = {"conditional_vae": [0.3, 0.3, 0.3], "below": [0.31, 0.32, 0.3], "near": near, "far": far, "wide": wide}
    records = [made(name, level, i) for name, levels in base.items() for i, level in enumerate(levels)]
    records.append(made("look_up", 0.9, 0, kind="head-room"))
    found = table(records).set_index("model")
    assert found["claim"].to_dict() == {
        "conditional_vae": "", "below": "false", "near": "true", "far": "true", "wide": "undecided", "look_up": ""
    }  # fmt: skip
    assert found.index[0] == "look_up" and list(found.index[1:]) == ["far", "wide", "near", "below", "conditional_vae"]
    none = table([r.model_copy(update={"warnings": ("no claim: too few",)}) for r in records]).set_index("model")
    assert set(none["claim"]) == {"", "not evaluable"}


def test_the_csv_of_a_folder_has_the_intervals_of_the_board(tmp_path, capsys):
    records = [
        made(name, level + seed / 50, seed) for name, level in {"m": 0.6, "n": 0.2}.items() for seed in (1, 2, 3)
    ]
    store.add(tmp_path, TRACK, [(record, None) for record in records])
    everything.regenerate([TRACK], tmp_path)
    (path,) = tmp_path.glob("*.csv")
    found, wanted = pd.read_csv(path).set_index("model"), table(records).set_index("model")
    for name in ("mcc_within", "mcc_within_ci_low", "mcc_within_ci_high"):
        assert found[name].tolist() == pytest.approx(wanted[name].tolist(), abs=1e-5)
    assert everything.check([TRACK], tmp_path)[0] == 1
    assert leaderboard(["--leaderboards", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "3 data seeds" in printed and ".64±.05" in printed


def test_too_few_environments_are_said_and_refused():
    few = load("g1:perturbations=3,cells=10,controls=20,d_v=4,max_hits=3,d_i=1,genes=8", 1)
    assert "4 environments" in few.unanswerable and "5 are needed" in few.unanswerable
    enough = load("g1:perturbations=4,cells=10,controls=20,d_v=4,max_hits=3,d_i=1,genes=8", 1)
    assert enough.unanswerable == ""
    assert verdict(interval(np.array([0.5, 0.51, 0.52])), few.unanswerable) == "not evaluable"
    assert verdict(interval(np.array([0.5, 0.51, 0.52])), "") == "true"
