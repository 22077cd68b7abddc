"""Claims of tracks whose replicates are seeds: another seed is another draw of the data, a training seed is not."""

import numpy as np
import pytest
from harness import bare_record, made_spec
from scipy import stats

from bench.results import claims, everything, store
from bench.results.claim import Claim
from bench.tracks import registry

TRACK = registry.by_verb("identify")
LEVELS = {"a": (0.52, 0.58, 0.50, 0.61), "b": (0.40, 0.47, 0.41, 0.48), "c": (0.50, 0.60, 0.49, 0.62)}


def record(model, level, seed, training=1, dataset="d", **fields):
    seeds = {"split_seed": seed, "pretrain_seed": training, "head_seed": training}
    spec = made_spec(model, dataset=dataset, split="cells", **seeds)
    known = {"track": TRACK.name, "track_version": TRACK.version, "values_hash": None, "git_dirty": False}
    numbers = {"mcc_within": level, "shd": None if level is None else 5 - level}
    return bare_record(spec, **{**known, "kind": "model", "numbers": numbers, **fields})


def verdict(folder, found, seeds=(1, 2, 3, 4), **fields):
    store.add(folder, TRACK, [(one, None) for one in found])
    data = found[0].spec.dataset
    known = {"name": "c", "better": "a", "worse": "b", "data": data, "split": "cells", "metric": "mcc_within"}
    one = Claim(**{**known, **fields})
    return claims.evaluate([one], {(data, "cells"): seeds}, everything.read(registry.tracks(), folder))[0]


@pytest.fixture
def boards():
    return [record(name, level, seed) for name, of in LEVELS.items() for seed, level in enumerate(of, 1)]


def test_a_difference_is_that_of_a_paired_t_test(boards, tmp_path):
    found = verdict(tmp_path, boards, margin=0.05)
    gap, test = found.differences[0], stats.ttest_rel(LEVELS["a"], LEVELS["b"])
    low, high = test.confidence_interval(0.95)
    assert (gap.low, gap.high) == pytest.approx((low, high), rel=1e-5, abs=1e-9)
    shifted = stats.ttest_1samp(np.subtract(LEVELS["a"], LEVELS["b"]) - 0.05, 0, alternative="greater")
    assert gap.p == pytest.approx(shifted.pvalue, rel=1e-4, abs=1e-9) and found.verdict == "true"
    assert gap.n == 4 and gap.by_seed == pytest.approx((0.12, 0.11, 0.09, 0.13), abs=1e-6)
    assert found.over == "over draws of the data (4); of one generator"


@pytest.mark.parametrize(
    ("fields", "value", "reason"),
    [
        ({"margin": 0.105}, "false", "clear of 0, but not beyond 0.105 of b"),
        ({"worse": ["b", "c"]}, "false", "not told apart from c"),
        ({"better": "b", "worse": "a"}, "false", "no better than a"),
        ({"metric": "shd", "margin": 0.0}, "true", ""),
        ({"worse": "d"}, "not_evaluable", "no record of d"),
        ({"subgroup": "seen"}, "not_evaluable", "no condition in 'seen'"),
        ({"relation": "no better", "margin": 0.2}, "true", ""),
        ({"relation": "no better", "margin": 0.1}, "false", "not shown to lie within 0.1 of b"),
    ],
)
def test_what_is_claimed(fields, value, reason, boards, tmp_path):
    found = verdict(tmp_path, boards, **fields)
    assert found.verdict == value and reason in found.reason, found


def test_a_row_beside_that_lacks_a_seed_is_left_out(boards, tmp_path):
    """It decides nothing; it must not end the evaluation either."""
    found = verdict(tmp_path, [*boards, record("few", 0.3, 1)], beside=["c", "few", "none"], margin=0.05)
    assert found.verdict == "true" and [gap.row for gap in found.beside] == ["c"]


def test_lower_is_better_where_it_is(boards, tmp_path):
    assert verdict(tmp_path, boards, better="b", worse="a", metric="shd", margin=0.0).verdict == "false"


def test_training_seeds_are_averaged_and_are_no_replicates(boards, tmp_path):
    more = [record("a", level + 0.02, seed, training=2) for seed, level in enumerate(LEVELS["a"], 1)]
    learned = [one.model_copy(update={"budget": one.budget.model_copy(update={"steps": 9})}) for one in more]
    gap = verdict(tmp_path, [*boards, *learned]).differences[0]
    assert gap.n == 4 and gap.mean == pytest.approx(0.1125 + 0.01, abs=1e-6)


def test_what_nothing_can_be_claimed_of(boards, tmp_path):
    few = [record("a", 0.5, 1), record("b", 0.4, 1)]
    assert "two seeds are needed" in verdict(tmp_path / "one", few, seeds=(1,)).reason
    assert "a lacks seed 2" in verdict(tmp_path / "lacks", few, seeds=(1, 2)).reason
    undefined = [one for one in boards if one.spec.model != "a" or one.spec.split_seed < 4]
    found = verdict(tmp_path / "null", [*undefined, record("a", None, 4)])
    assert found.verdict == "not_evaluable" and "is undefined" in found.reason
    for i, warning in enumerate(("no claim: 3 environments for 10 latents", "provenance: trained on the test")):
        doubted = [one.model_copy(update={"warnings": (warning,)}) if one.spec.model == "b" else one for one in boards]
        found = verdict(tmp_path / str(i), doubted)
        assert found.verdict == "not_evaluable" and warning.removeprefix("provenance: ") in found.reason


def test_claims_about_boards_of_other_seeds_count_in_each_others_p(boards, tmp_path):
    """Evaluated again from the file alone, every p is what it was."""
    few = [
        record(name, level, seed, dataset="e") for name, of in LEVELS.items() for seed, level in enumerate(of[:3], 1)
    ]
    store.add(tmp_path, TRACK, [(one, None) for one in (*boards, *few)])
    asked = [
        Claim(name=data, better="a", worse="b", data=data, split="cells", metric="mcc_within")
        for data in (boards[0].spec.dataset, "e")
    ]
    groups = everything.read(registry.tracks(), tmp_path)
    found = claims.evaluate(asked, {(asked[0].data, "cells"): (1, 2, 3, 4), ("e", "cells"): (1, 2, 3)}, groups)
    alone = [one.differences[0].p for one in found]
    assert found[0].p_holm == pytest.approx(2 * alone[0], rel=1e-4) and found[1].p_holm == pytest.approx(alone[1])
    path = claims.write(tmp_path, "s", found)
    assert claims.again(tmp_path, groups) == {path: (claims.read(path), claims.read(path))}
