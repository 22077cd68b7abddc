"""Suite files: what they stand for, what is refused, and that the shipped ones make every committed row."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.core.files import board_name
from bench.results import claims, store
from bench.runner import by_track
from bench.sweep import suite as suites
from bench.sweep.plan import check_claims, configs, folders, label
from bench.tracks import registry

ROOT = Path(__file__).resolve().parents[2]
PLACES = folders(Path("runs"), Path("runs/leaderboards"))


def suite(tmp_path, text):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return suites.read(path)


def test_a_block_is_a_product_with_variants_after_their_base(tmp_path):
    found = suite(
        tmp_path,
        "runs: [{models: [a, b], data: [x, y], splits: doubles, seeds: 1-2, control_folds: [0, 1], "
        "variants: [{}, {k: 1}]}]",
    )
    points = list(suites.points(found.runs[0]))
    assert len(points) == len({json.dumps(p) for p in points}) == 2 * 2 * 2 * 2 * 2
    for data in ("x", "y"):
        variants = [variant for d, _, variant, *_ in points if d == data]
        assert variants == [{}] * 8 + [{"k": 1}] * 8


@pytest.mark.parametrize(("text", "wanted"), [("3", (3,)), ("1-3", (1, 2, 3)), ("[4, 2]", (4, 2)), ("'1,5'", (1, 5))])
def test_seeds_as_on_the_command_line(text, wanted, tmp_path):
    assert suite(tmp_path, f"runs: [{{models: a, data: x, seeds: {text}}}]").runs[0].seeds == wanted


def test_a_claim_about_several_is_one_about_each(tmp_path):
    found = suite(
        tmp_path,
        "runs: [{models: a, data: x}]\n"
        "claims: [{name: '{better} {metric} {data}', better: [a, b], worse: c, data: x, metric: [r2, wmse]}]",
    )
    assert [(c.name, c.better, c.metric) for c in found.claims] == [
        ("a r2 x", "a", "r2"),
        ("a wmse x", "a", "wmse"),
        ("b r2 x", "b", "r2"),
        ("b wmse x", "b", "wmse"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs: [{models: [], data: x}]", "runs.0.models is empty: the block would stand for no run"),
        ("runs: [{models: a, data: x, variants: []}]", "runs.0.variants is empty"),
        ("runs: []", "nothing to run"),
        ("{}", "nothing to run"),
        ("runs: [{model: a, data: x}]", "runs.0: unknown field 'model'. Did you mean 'models'"),
        ("runs: [{models: a}]", "runs.0.data is missing"),
        ("run: [{models: a, data: x}]", "the file: unknown field 'run'. Did you mean 'runs'"),
        ("runs: [{models: a, data: x, seeds: one}]", "seed 'one': expected a number"),
        ("runs: [{models: a, data: x, control_folds: [2]}]", "runs.0.control_folds.0"),
        ("runs: [{models: a, data: x}]\nclaims: [{name: n, beter: a, worse: b, data: x}]", "Did you mean 'better'"),
        (
            "runs: [{models: a, data: x}]\nclaims: [{name: n, better: [a, b], worse: c, data: x}]",
            "two claims are called 'n'",
        ),
        ("runs: [{models: a, data: x}]\nclaims: [{name: n, better: a, worse: [], data: x}]", "claims.0.worse is empty"),
        ("name: ../up\nruns: [{models: a, data: x}]", "name"),
        ("profiles: [{encoders: jepa}]", "profiles.0.data is missing"),
        ("profiles: [{data: x, encoder: jepa}]", "profiles.0: unknown field 'encoder'. Did you mean 'encoders'"),
        ("profiles: [{data: x, options: []}]", "profiles.0.options is empty"),
        ("runs: [", "not YAML"),
        ("[1]", "not a suite"),
    ],
)
def test_bad_files_name_the_culprit(text, message, tmp_path):
    with pytest.raises(BenchError, match=r"s\.yaml: ") as caught:
        suite(tmp_path, text)
    assert message in str(caught.value)


def test_unknown_suites_suggest_the_nearest(tmp_path):
    with pytest.raises(BenchError, match="Did you mean 'main'"):
        suites.find("man")
    with pytest.raises(BenchError, match="no such suite"):
        suites.find(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs: [{models: lineer, data: simulated}]", "unknown model 'lineer'. Did you mean 'linear'"),
        (
            "runs: [{models: linear, data: simulated, variants: [{rnk: 5}]}]",
            "unknown argument of model 'linear': 'rnk'. Did you mean 'rank'",
        ),
        ("runs: [{models: linear, data: simulated, variants: [{seed: 5}]}]", "unknown argument of model 'linear'"),
        ("runs: [{models: linear, data: simulated, variants: [{rank: much}]}]", "--rank: Expected an integer"),
        ("runs: [{models: linear, data: simulated, variants: [{rank: -2}]}]", "model 'linear'"),
        ("frozen: [{models: linear, data: simulated}]", "'linear' has no encoder to freeze"),
        ("frozen: [{models: identity, data: simulated, control_folds: [1]}]", "control fold 0 only"),
        ("runs: [{models: linear, data: simulatd}]", "unknown data set 'simulatd'. Did you mean 'simulated'"),
    ],
)
def test_bad_runs_are_refused_before_anything_is_run(text, message, tmp_path):
    with pytest.raises(BenchError) as caught:
        found = suite(tmp_path, text)
        check_claims(found, configs(found, PLACES))
    assert message in str(caught.value), caught.value


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("better: linea, worse: train_mean, data: simulated", "unknown row 'linea'. Did you mean 'linear'"),
        ("better: linear, worse: additive, data: simulated", "unknown row 'additive'"),
        ("better: linear, worse: train_mean, beside: 'linear[rank=4]', data: simulated", "Did you mean 'linear[rank="),
        ("better: linear, worse: train_mean, data: norman_slice", "unknown board 'norman_slice__simulation'"),
        ("better: linear, worse: train_mean, data: simulated, metric: pearson", "unknown metric 'pearson'"),
    ],
)
def test_claims_about_what_the_suite_does_not_make_are_refused(claim, message, tmp_path):
    text = "runs: [{models: [linear, train_mean], data: simulated, variants: [{}]}, "
    text += "{models: linear, data: simulated, variants: [{rank: 5}]}]\nclaims: [{name: c, " + claim + "}]"
    found = suite(tmp_path, text)
    with pytest.raises(BenchError, match="claim 'c'") as caught:
        check_claims(found, configs(found, PLACES))
    assert message in str(caught.value)


@pytest.fixture(scope="module")
def shipped():
    """Runs of the suites that stand for the committed boards, resolved without reading data."""
    return {name: configs(suites.find(name), PLACES) for name in suites.names()}


@pytest.mark.ci
def test_shipped_suites_hold_no_claim_about_missing_rows(shipped):
    for name, found in shipped.items():
        check_claims(suites.find(name), found)


@pytest.mark.ci
def test_the_suites_make_every_committed_row_and_no_other(shipped):
    wanted, committed = defaultdict(set), defaultdict(set)
    made = [one for name, found in shipped.items() if suites.find(name).published for one in found]
    for verb, config in made:
        split = None if config.split is None else board_name(config.split)
        row = (verb, by_track.data_name(config), split, label(verb, config))
        wanted[row].add((config.seeds[0], config.folds[0]))
    for track in registry.tracks():
        for entry in store.collect(track, [ROOT / "leaderboards"]):
            spec = entry.record.spec
            if entry.record.kind != "reference":
                seeds = (spec.split_seed, spec.pretrain_seed, spec.head_seed)
                # What wells are asked is in the data, and in no suite: see tests/sweep/test_profiles_block.py.
                split = None if track.takes == "profiles" else spec.split
                committed[track.verb, spec.dataset, split, spec.label].add((seeds, spec.control_fold))
    assert sorted(set(committed) - set(wanted)) == []
    assert sorted(set(wanted) - set(committed)) == []
    assert dict(committed) == dict(wanted)


@pytest.mark.parametrize("name", [name for name in suites.names() if suites.find(name).claims])
def test_committed_claims_are_those_of_the_suite(name):
    there = claims.read(claims.place(ROOT / "leaderboards", name))
    assert tuple(one.claim for one in there.verdicts) == suites.find(name).claims
