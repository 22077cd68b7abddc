"""Claims: what makes one true, false or not to be said; and what the committed records say, read from them."""

import json
import re

import pytest
from harness import N_MADE, made_records

from bench.cli.main import main
from bench.core.errors import BenchError
from bench.reports import verdicts
from bench.results import claims, everything
from bench.results.board import gather
from bench.results.claim import Claim
from bench.sweep import suite as suites
from bench.tracks import registry
from bench.tracks.response.track import TRACK

OBJECTIVES = ("jepa", "mae", "vicreg")
CONTROLS = ("constant_encoder", "random_encoder", "pca_encoder", "identity", "supervised")
SEEDS = {("d", "simulation"): [1, 2, 3]}


def claim(**fields):
    return Claim(**{"name": "c", "better": "a", "worse": "b", "data": "d", "min_conditions": N_MADE, **fields})


def record_rows(folder, rows, seeds=(1, 2, 3), metric="pearson_delta", **fields):
    made_records(folder, {name: {metric: mean} for name, mean in rows.items()}, seeds, **fields)


def verdict(folder, one, seeds=SEEDS):
    (found,) = claims.evaluate([one], seeds, everything.read(registry.tracks(), folder))
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    record_rows(folder, {"a": 0.5, "b": 0.4, "e": 0.5, "train_mean": 0.25}, jitter=0.05)
    # a row whose conditions scatter otherwise: a real interval
    record_rows(folder, {"w": 0.44}, own_jitter=0.4)
    return folder


def test_the_interval_is_the_one_that_compare_prints(study, capsys):
    found = verdict(study, claim(worse=["b", "w"], beside="train_mean"))
    assert [gap.row for gap in (*found.differences, *found.beside)] == ["b", "w", "train_mean"]
    for gap in (*found.differences, *found.beside):
        capsys.readouterr()
        assert main(["compare", "a", gap.row, "--data", "d", "--leaderboards", str(study)]) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("pearson_delta"))
        printed = re.search(r"([+-]\d\.\d{3}) \[([+-]\d\.\d{3}), ([+-]\d\.\d{3})\].* (\d+)", line)
        assert [f"{x:+.3f}" for x in (gap.mean, gap.low, gap.high)] == list(printed.groups()[:3])
        assert f" {gap.n} " in line.rstrip() + " "


def test_all_that_must_be_beaten_are_beaten_or_it_is_false(study):
    assert verdict(study, claim(worse="b")).verdict == "true"
    assert verdict(study, claim(worse=["b", "train_mean"])).verdict == "true"
    assert verdict(study, claim(worse=["b", "e"])).verdict == "false"
    one = verdict(study, claim(worse="e"))  # alike: no difference
    assert one.verdict == "false"
    assert one.reason == "no better than e: the 90% interval ends below 0.01"
    one = verdict(study, claim(worse="w"))
    assert one.differences[0].low < 0 < one.differences[0].high
    assert one.verdict == "false"
    assert verdict(study, claim(better="b", worse="a")).verdict == "false"  # clear, the wrong way round


def test_a_margin_must_be_cleared_by_the_whole_interval(study):
    assert verdict(study, claim(margin=0.09)).verdict == "true"
    assert verdict(study, claim(margin=0.11)).verdict == "false"
    assert verdict(study, claim()).margin == TRACK.metrics["pearson_delta"].margin == 0.01


def test_holm_over_the_suite(study):
    """One claim that just holds alone does not among twenty others about nothing."""
    alone = claim(better="a", worse="w", margin=0.0)
    p = verdict(study, alone).p_holm
    noise = [claim(name=f"n{i}", better="b", worse="e") for i in range(20)]
    groups = everything.read(registry.tracks(), study)
    found = claims.evaluate([alone, *noise], SEEDS, groups)
    assert found[0].p_holm == pytest.approx(min(1.0, 21 * p), rel=1e-4)
    assert {one.verdict for one in found[1:]} == {"false"}


def test_no_better_than(study):
    """The 90% interval of the difference lies within the margin: shown, not merely not told apart."""
    assert verdict(study, claim(better="a", worse="e", relation="no better")).verdict == "true"
    one = verdict(study, claim(better="a", worse="w", relation="no better"))
    assert (one.verdict, one.reason) == ("false", "not shown to lie within 0.01 of w")


def test_skill_above_the_floor(tmp_path):
    """It must be in pattern or identity too: the right size alone is no knowledge."""
    known = {"pearson_delta": 0.5, "discrimination": 0.5, "shift_ratio": 0.5}
    sized = {"pearson_delta": 0.25, "discrimination": 0.25, "shift_ratio": 0.7}
    made_records(tmp_path, {"knows": known, "sized": sized}, seeds=(1, 2))
    seeds = {("d", "simulation"): [1, 2]}
    made = {
        name: verdict(tmp_path, claim(better=name, worse="floor", metric="skill"), seeds) for name in ("knows", "sized")
    }
    assert made["knows"].verdict == "true"
    assert made["knows"].over == "over conditions and their genes; of one data set, these split seeds"
    assert made["sized"].differences[0].low > 0
    assert made["sized"].verdict == "false"
    one = verdict(tmp_path, claim(better="knows", worse="floor"), seeds)
    assert (one.verdict, one.reason) == ("not_evaluable", "'floor' can be beaten in skill only")


def test_lower_may_be_better(tmp_path):
    record_rows(tmp_path, {"a": 0.1, "b": 0.3, "train_mean": 0.5}, metric="wmse")
    assert verdict(tmp_path, claim(metric="wmse")).verdict == "true"
    assert verdict(tmp_path, claim(metric="wmse", margin=0.3)).verdict == "false"
    assert verdict(tmp_path, claim(metric="wmse", better="b", worse="a")).verdict == "false"


@pytest.mark.parametrize(
    ("fields", "seeds", "reason"),
    [
        ({"worse": ["b", "gone"]}, [1, 2, 3], "no record of gone"),
        ({"data": "other"}, [1, 2, 3], "no record of a, b"),
        ({}, [1, 2, 3, 4], "a lacks seed 4"),
        ({"min_conditions": 13}, [1, 2, 3], "12 distinct conditions, 13 needed"),
        ({"subgroup": "effect_low", "min_conditions": 8}, [1, 2, 3], "4 distinct conditions, 8 needed"),
        ({"subgroup": "combo_seen2"}, [1, 2, 3], "no condition in 'combo_seen2'"),
    ],
)
def test_what_cannot_be_said(fields, seeds, reason, study):
    one = verdict(study, claim(**fields), {("d", "simulation"): seeds, ("other", "simulation"): seeds})
    assert (one.verdict, one.reason) == ("not_evaluable", reason)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"evidence": "smoke"}, "smoke data: too few conditions"),
        ({"controls_used": "all"}, "predictions not made from the input controls: a, b"),
    ],
)
def test_records_that_carry_no_claim(fields, reason, tmp_path):
    record_rows(tmp_path, {"a": 0.5, "b": 0.4}, **fields)
    one = verdict(tmp_path, claim())
    assert (one.verdict, one.reason) == ("not_evaluable", reason)
    assert one.differences[0].mean == pytest.approx(0.1)  # shown all the same


def test_a_metric_that_no_condition_defines(tmp_path):
    record_rows(tmp_path, {"a": None, "b": None})
    one = verdict(tmp_path, claim())
    assert one.verdict == "not_evaluable"
    assert one.differences[0].mean is None


@pytest.mark.ci
def test_the_file_is_checked_against_the_records(tmp_path, capsys):
    folder = tmp_path
    record_rows(folder, {"a": 0.5, "b": 0.4, "e": 0.5, "train_mean": 0.25})
    made = [verdict(folder, claim(name=name, worse=worse)) for name, worse in (("x", "b"), ("y", "e"))]
    path = claims.write(folder, "s", made)
    before = path.read_bytes()
    tracks = registry.tracks()
    everything.regenerate(tracks, folder)
    assert everything.check(tracks, folder)[1] == 1
    content = json.loads(before)
    assert {f"{gap['mean']:.6g}" for one in content["verdicts"] for gap in one["differences"]} == {"0.1", "0"}
    content["verdicts"][1]["verdict"] = "true"
    path.write_text(json.dumps(content))
    with pytest.raises(BenchError, match="claim 'y' is true there and false by the records"):
        everything.check(tracks, folder)
    assert main(["leaderboard", "--leaderboards", str(folder), "--quiet"]) == 0
    assert str(path) in capsys.readouterr().out
    assert path.read_bytes() == before
    path.write_text("{}")
    with pytest.raises(BenchError, match="not a file of claims"):
        everything.check(tracks, folder)


def test_the_table_names_rows_with_their_brackets(tmp_path, capsys):
    record_rows(tmp_path, {"b": 0.4}, variant={})
    record_rows(tmp_path, {"a": 0.5}, variant={"residual": "none"})
    one = verdict(tmp_path, claim(name="a[residual=none] wins", better="a[residual=none]", expected="false"))
    verdicts.show([one])
    out = capsys.readouterr().out
    for word in ("d | simulation | pearson_delta", "a[residual=none] wins", "true", "expected: false", "+0.100"):
        assert word in out, out


def test_claims_about_one_board_stand_in_one_table(tmp_path, capsys):
    record_rows(tmp_path, {"a": 0.5, "b": 0.4})
    asked = [claim(name=f"{m} {n}", metric=m) for n in (1, 2) for m in ("pearson_delta", "r2")]
    verdicts.show([verdict(tmp_path, one) for one in asked])
    out = capsys.readouterr().out
    assert out.count("claims | ") == 2
    assert [out.index(word) for word in ("pearson_delta 1", "pearson_delta 2", "r2 1", "r2 2")] == sorted(
        out.index(f"{m} {n}") for m in ("pearson_delta", "r2") for n in (1, 2)
    )


@pytest.mark.parametrize("name", suites.names())
def test_verdicts_on_committed_records_are_those_expected(name, published_groups):
    """Those that a suite says must hold: that learned models learn, above all."""
    expected = [one for one in suites.find(name).claims if one.expected]
    boards = {(one.data, one.split): [1, 2, 3] for one in expected}
    found = claims.evaluate(expected, boards, published_groups)
    assert [(one.claim.name, one.verdict, one.reason) for one in found if one.verdict != one.claim.expected] == []


def test_learned_models_must_beat_the_train_mean_clearly():
    """The suite holds these claims; whether they are true is the test above."""
    held = {
        (one.better, one.metric)
        for one in suites.find("main").claims
        if one.worse == ("train_mean",)
        and one.data == "simulated"
        and (one.margin or 0) >= 0.1
        and one.expected == "true"
    }
    assert held >= {(m, k) for m in (*OBJECTIVES, "supervised") for k in ("pearson_delta", "discrimination")}


def test_every_claim_about_an_objective_is_against_both_controls():
    """An encoder that says nothing and one that was never trained: an objective must beat both, in every track."""
    held = {}
    for one in suites.find("main").claims:
        if any(row.split("[")[0] == "constant_encoder" for row in one.worse):
            held.setdefault((one.data, one.better), set()).update(row.split("[")[0] for row in one.worse)
    tracks = ("", "[residual=none]", "[latent_target=own]", "[features=from_encoder]")
    for data in ("simulated", "norman_slice"):
        for label in (f"{name}{track}" for name in OBJECTIVES for track in tracks):
            assert held[data, label] >= {"constant_encoder", "random_encoder"}, (data, label)


def test_separation_is_claimed_as_the_specification_says():
    (one,) = (c for c in suites.find("separation").claims if c.name == "separation_load_bearing")
    assert (one.better, one.worse) == ("perturbed_vae", ("perturbed_vae[ablation=no_sep]",))
    assert (one.metric, one.split, one.subgroup, one.min_conditions) == ("pearson_delta", "doubles", "all", 30)
    assert "additive" in one.beside


@pytest.mark.parametrize("dataset", ["simulated", "norman_slice"])
def test_objectives_stand_beside_their_controls(dataset, published_groups):
    """Each with and without a residual, and in the tracks in which the encoder matters."""
    tracks = ("", "[residual=none]", "[latent_target=own]", "[features=from_encoder]")
    (items,) = (found[dataset, "simulation"] for track, found in published_groups if track.name == TRACK.name)
    seeds, by_label = gather(items)
    assert seeds == [1, 2, 3]
    wanted = [f"{name}{track}" for name in (*OBJECTIVES, *CONTROLS) for track in tracks]
    for label in wanted:
        if label.startswith("constant_encoder[") and "residual" not in label:
            continue  # it has neither latents nor anything to say about a gene
        assert sorted(by_label[label].by_seed) == seeds, label
        for record in by_label[label].records:
            assert record.budget.steps, label
            assert record.budget.parameters["response"] > 0, label
            assert record.git_dirty is False, label


def test_claims_are_tested_on_other_networks_too(study, tmp_path):
    """Beside records of ``d_seed1``, where they hold, and of ``d_seed2``, where they do not; ``de`` is no network."""
    for name, better in (("d_seed1", 0.5), ("d_seed2", 0.3), ("de", 0.5)):
        record_rows(tmp_path, {"a": better, "b": 0.4}, dataset=name)
    record_rows(tmp_path, {"a": 0.5, "b": 0.4, "train_mean": 0.25})
    one = verdict(tmp_path, claim())
    assert [(other.data, other.verdict) for other in one.elsewhere] == [("d_seed1", "true"), ("d_seed2", "false")]
    assert one.over.startswith(
        "over conditions and their genes; of one data set, tried on 2 more of its generator, these"
    )
    # What was found stays where the other networks' records are not.
    path = claims.write(study, "s", [one])
    ((_, again),) = claims.again(study, everything.read(registry.tracks(), study)).values()
    assert again.verdicts[0].elsewhere == one.elsewhere
    path.unlink()
