"""Boards from records small enough to compute by hand."""

import collections
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from harness import collect, groups, made, made_record, made_records

from bench.core.errors import BenchError
from bench.reports.text import layout, warnings_of
from bench.results import everything, leaderboard, store, tables
from bench.results.board import board as make_board
from bench.results.entries import BoardEntry
from bench.results.estimates import place
from bench.results.generated import six_digits
from bench.results.skill import bars
from bench.results.summary import plan_for
from bench.tracks import registry
from bench.tracks.response.track import TRACK

NAMES = list(TRACK.metrics)
PRIMARY = TRACK.primary
DE = TRACK.families["DE"]
BARS = ["ceiling", "replicate", "floor"]
#: Replicates of made-up tasks scatter about .75 by at most .05: the mean of their square roots.
CEILING = np.mean(np.sqrt(0.75 + 0.05 * np.linspace(-1, 1, 12)))


def record_of(folder, model, means, **options):
    """A record with two families alike: a mean skill takes at least two."""
    return made_record(folder, model, {**means, DE: means["pearson_delta"]}, **options)


def records_of(folder, rows, seeds=(1, 2, 3), **options):
    """The same of several models, under several split seeds."""
    made_records(
        folder, {name: {**means, DE: means["pearson_delta"]} for name, means in rows.items()}, seeds, **options
    )


@pytest.fixture(scope="module")
def three_made(tmp_path_factory):
    """The records of :func:`three`, made once."""
    folder = tmp_path_factory.mktemp("three")
    values = {"a": (0.6, 0.5, 0.4), "b": (0.3, 0.3, 0.3), "train_mean": (0.1, 0.2, 0.3)}
    for i, seed in enumerate((1, 2, 3)):
        records_of(folder, {name: {"pearson_delta": each[i], "r2": 0.5} for name, each in values.items()}, (seed,))
    return folder


@pytest.fixture
def three(three_made, tmp_path):
    """Three models, three seeds: pearson_delta a .6 .5 .4, b .3 .3 .3, floor .1 .2 .3."""
    return Path(shutil.copytree(three_made, tmp_path, dirs_exist_ok=True))


def board(folder, **options):
    return make_board(groups(folder)["d", "simulation"], **options).set_index("model")


def regenerate(folder):
    return everything.regenerate(registry.tracks(), folder)[0]


def check(folder):
    return everything.check(registry.tracks(), folder)[0]


def files_of(folder):
    return leaderboard.expected_files([TRACK], folder)


def test_means_ranks_and_bars_by_hand(three):
    table = board(three)
    assert list(table.index) == ["a", "b", "train_mean", *BARS]
    assert table["pearson_delta"].tolist() == pytest.approx([0.5, 0.3, 0.2, CEILING, 0.75, 0.25])
    assert table["rank"].tolist()[:3] == [1, 2, 3]
    assert table["rank"].isna().tolist() == [False] * 3 + [True] * 3
    assert table["kind"].tolist() == ["model with fallbacks"] * 3 + ["bar"] * 3
    assert table.loc["a", "n_seeds"] == 3
    assert table.loc["a", "n_conditions"] == 36
    assert table.loc["a", "n_informative"] == 27
    assert table.loc["a", "n_fallback"] == 9
    assert table.loc["a", "wall_s"] == 1.5
    assert table.loc["a", "parameters"] == 3
    assert len(table.loc["a", "run_ids"].split()) == 3


def test_a_row_that_fell_back_in_more_than_a_tenth_says_so(three):
    found = groups(three)["d", "simulation"]
    table = make_board(found)
    said = [line for line in warnings_of(TRACK, table, [item.record for item in found], [1, 2, 3]) if "unknown" in line]
    assert len(said) == 1 and "a (25%), b (25%), train_mean (25%)" in said[0]
    table["n_fallback"] = [3, 4, 0, None, None, None]  # of 36 conditions: 3 are under a tenth, 4 are over
    (said,) = [
        line for line in warnings_of(TRACK, table, [item.record for item in found], [1, 2, 3]) if "unknown" in line
    ]
    assert said.endswith(": b (11%).")


def test_a_row_that_is_the_train_mean_without_saying_so_is_told(three):
    """'a' scores two units of seed 2 as the mean does in all families; unit 1, which fell back, is told already."""
    entries = []
    for entry in groups(three)["d", "simulation"]:
        table = entry.values
        if entry.record.spec.label == "a" and entry.record.spec.split_seed == 2:
            value = table.numbers["value"].copy()
            value[[1, 5, 9]] = table.task.numbers["floor"][[1, 5, 9]]
            table = replace(table, numbers={**table.numbers, "value": value})
        entries.append(replace(entry, load=lambda table=table: table))
    table = make_board(entries)
    assert table.attrs["as_mean"] == {"a": 2}
    assert "25% fell back, 6% as mean" in list(layout(TRACK, table).columns[-1].cells)
    table["kind"] = "control"
    assert "control, 25% fell back, 6% as mean" in list(layout(TRACK, table).columns[-1].cells)
    said = [line for line in warnings_of(TRACK, table, [e.record for e in entries], [1, 2, 3]) if "train mean" in line]
    assert len(said) == 1 and said[0].endswith(": a.")


def test_a_note_that_not_all_rows_carry_names_those_that_do(three):
    found = [item.record for item in groups(three)["d", "simulation"]]
    given = {"a": ("of all", "of a: 1.5"), "b": ("of all",), "train_mean": ("of all",)}
    noted = [record.model_copy(update={"warnings": given[record.spec.label]}) for record in found]
    again = next(record for record in noted if record.spec.label == "a")
    noted.append(again.model_copy(update={"warnings": ("of a: 2",)}))  # the same of another seed
    said = warnings_of(TRACK, make_board(groups(three)["d", "simulation"]), noted, [1, 2, 3])
    assert said[-2:] == ["note: of all", "note (a): of a: 1.5"]


def test_columns_are_those_promised(three):
    columns = list(board(three).reset_index().columns)
    assert set(columns[:5]) == {"model", "rank", "rank_high", "kind", "skill"}
    assert columns[-6:] == ["beat_rate", "control_sd", "n_fallback", "wall_s", "parameters", "run_ids"]
    text = files_of(three)[three / "d__simulation.csv"]
    header = text.splitlines()[0]
    assert header.startswith("rank,rank_high,model,kind,skill,skill_ci_low,skill_ci_high,n_seeds,n_training_seeds")
    assert "pearson_delta,pearson_delta_ci_low,pearson_delta_ci_high,pearson_delta_skill" in header
    assert ",r2,r2_ci_low,r2_ci_high," in header
    assert "r2_skill" not in header  # there is skill in families only


def test_adding_a_row_moves_no_other(three):
    before = board(three)
    record_of(three, "new", {"pearson_delta": 0.9}, split_seed=1, split_id="s1")
    record_of(three, "more", {"pearson_delta": 0.9}, split_seed=4, split_id="s4")
    after = board(three)
    for name in before.index:
        pd.testing.assert_series_equal(after.loc[name, before.columns], before.loc[name])
    assert pd.isna(after.loc["new", "rank"])  # one of three seeds: shown, not ranked
    assert "more" not in after.index


def test_seeds_can_be_chosen(three):
    table = board(three, seeds=[1])
    assert table["pearson_delta"].tolist() == pytest.approx([0.6, 0.3, 0.1, CEILING, 0.75, 0.25])


def test_ties_share_a_rank(three):
    records_of(three, {"c": {"pearson_delta": 0.3}})
    assert board(three)["rank"].tolist()[:3] == [1, 2, 2]


def test_fold_one_stands_in_run_ids_and_moves_nothing(three):
    before = board(three)
    record_of(three, "a", {"pearson_delta": -1.0}, split_seed=1, control_fold=1, split_id="f1")
    after = board(three)
    assert after["pearson_delta"].tolist() == before["pearson_delta"].tolist()
    assert len(after.loc["a", "run_ids"].split()) == 4


def test_undefined_stays_empty_in_the_csv(three):
    records_of(three, {"none": {"pearson_delta": 0.2, "r2": None}})
    text = files_of(three)[three / "d__simulation.csv"]
    row = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False).set_index("model").loc["none"]
    assert row["r2"] == ""
    assert float(row["pearson_delta"]) == pytest.approx(0.2)
    assert "nan" not in text.lower()


def test_variants_are_rows_of_their_own(three):
    record_of(three, "a", {"pearson_delta": 0.1}, variant={"rank": 5}, arguments={"rank": 5})
    assert "a[rank=5]" in board(three).index


def test_same_records_give_identical_bytes(three, tmp_path_factory):
    other = tmp_path_factory.mktemp("copy")
    shutil.copytree(three / "records", other / "records")
    one = {p.relative_to(three): t for p, t in files_of(three).items()}
    two = {p.relative_to(other): t for p, t in files_of(other).items()}
    assert one == two


def test_regenerate_then_check(three):
    changed = regenerate(three)
    assert changed[0].name == "d__simulation.csv"
    assert regenerate(three) == []
    assert check(three) == 2
    csv = three / "d__simulation.csv"
    csv.write_text(csv.read_text().replace("0.5", "0.9", 1))
    with pytest.raises(BenchError, match="d__simulation.csv"):
        check(three)
    regenerate(three)
    stale = three / "gone__simulation.csv"
    stale.write_text("rank,model\n")
    with pytest.raises(BenchError, match="gone__simulation.csv"):
        check(three)
    regenerate(three)
    assert not stale.exists()


def test_two_splits_of_one_seed_cannot_stand_in_one_table(three):
    record = record_of(three, "z", {"pearson_delta": 0.1}, split_id="x")
    with pytest.raises(BenchError, match="split_id") as error:
        files_of(three)
    assert record.run_id in str(error.value)


@pytest.mark.parametrize(("change", "what"), [({"data_hash": "other"}, "data"), ({"scoring_version": 99}, "scoring")])
def test_newer_data_or_scoring_replace_what_is_older_and_it_is_said(change, what, three, capsys):
    before = board(three)
    old = {"data_hash": "older"} if what == "data" else {"scoring_version": 1}
    record_of(three, "z", {"pearson_delta": 0.1}, created="2025-12-31T00:00:00Z", **old)
    assert board(three).equals(before)
    assert f"d: 1 records of older {what} are left out" in capsys.readouterr().err
    record_of(three, "z", {"pearson_delta": 0.1}, created="2026-01-02T00:00:00Z", **change)
    table = board(three)
    assert f"d: 10 records of older {what}" in capsys.readouterr().err.replace("data and scoring", what)
    assert list(table.index) == ["z", *BARS]
    assert table.loc["z", "n_seeds"] == 1


def test_records_of_one_task_must_agree_on_units_floor_and_replicate(three):
    for floor, replicate, what in ((0.3, 0.75, "floor"), (0.25, 0.8, "replicate")):
        with pytest.raises(BenchError, match=f"disagree on the {what}") as error:
            record_of(three, "c", {"pearson_delta": 0.3}, floor=floor, replicate=replicate)
        assert "d__simulation" in str(error.value)
    assert "c" not in board(three).index


def test_records_of_one_task_must_know_the_same_blind_answers(three):
    """One that was scored before an answer was known has another floor: it is not put beside newer ones in silence."""
    record, table = made("c", {"pearson_delta": 0.3})
    block = np.full_like(table.task.numbers["floor"], np.nan)
    newer = replace(table, task=replace(table.task, numbers={**table.task.numbers, "blind:remembers": block}))
    store.add(three, TRACK, [(record, newer)])  # it is an answer of other tasks alone
    store.remove(three, TRACK, [record.run_id])
    known = np.where(np.isfinite(table.task.numbers["floor"]), 0.25, np.nan)
    numbers = {**table.task.numbers, "blind:remembers": known}
    newer = replace(table, task=replace(table.task, numbers=numbers))
    with pytest.raises(BenchError, match="second lacks remembers.*bench run --force"):
        store.add(three, TRACK, [(record, newer)])
    assert "c" not in board(three).index


def test_a_record_that_is_older_than_a_metric_stays_beside_newer_ones(three):
    before = board(three)
    record, table = made("c", {"pearson_delta": 0.3, DE: 0.3})
    frame = tables.to_long(table)
    new = frame[frame["metric"] == "pearson_delta"].assign(
        metric="state_r", value=0.1, floor=0.0, half_replicate=0.4, half_value=np.nan, half_floor=np.nan
    )
    table = tables.from_long(TRACK, pd.concat([frame[frame["metric"] != "state_r"], new]))
    store.add(three, TRACK, [(record.model_copy(update={"values_hash": table.hash}), table)])
    after = board(three)
    assert after.loc["c", "state_r"] == pytest.approx(0.1)
    assert after.drop(index="c")["state_r"].isna().all()
    assert after.loc[before.index, "pearson_delta"].equals(before["pearson_delta"])


def test_two_folders_must_agree_too_but_for_rounding(three, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    record_of(other, "c", {"pearson_delta": 0.3}, floor=0.25 + 1e-12)
    items = groups(three, other)["d", "simulation"]
    assert make_board(items).set_index("model").loc["c", "n_seeds"] == 1
    record_of(other, "d", {"pearson_delta": 0.3}, floor=0.3, split_seed=2, split_id="s2")
    with pytest.raises(BenchError, match="seed 2.*disagree on the floor"):
        make_board(groups(three, other)["d", "simulation"])


def test_a_row_that_has_no_unit_of_a_subgroup_is_listed_without_a_place(tmp_path):
    """Rows cover different seeds and a subgroup exists under only one of them."""
    for model, seeds in {"train_mean": (1, 3), "no_change": (1, 3), "additive": (3,)}.items():
        for seed in seeds:
            record, table = made(model, {"pearson_delta": 0.4, DE: 0.4}, split_seed=seed, split_id=f"s{seed}")
            if seed == 3:  # no unit of the subgroup
                words = {**table.task.words, "subgroup": np.full(len(table.task.cells), "combo_seen0", object)}
                table = replace(table, task=replace(table.task, words=words))
            store.add(tmp_path, TRACK, [(record.model_copy(update={"values_hash": table.hash}), table)])
    part = board(tmp_path, scope="unseen_single")
    assert set(part.index) == {"no_change", "additive", "train_mean", *BARS}
    assert part.loc["no_change", ["n_seeds", "n_conditions", "rank"]].tolist() == [2, 12, 1]
    assert part.loc["additive", ["n_seeds", "n_conditions"]].tolist() == [1, 0]
    assert part.loc["additive", ["rank", "skill", "pearson_delta"]].isna().all()
    assert len(files_of(tmp_path)) == 2
    whole = board(tmp_path)
    assert whole.loc["additive", "pearson_delta"] == pytest.approx(0.4)


def test_skill_by_hand_and_its_interval(three):
    """(0.5 - 0.25) / (ceiling - 0.25); the mean over families is over those that are defined."""
    table, room = board(three), CEILING - 0.25
    assert table.loc["a", "pearson_delta_skill"] == pytest.approx(0.25 / room)
    assert table.loc["b", "pearson_delta_skill"] == pytest.approx(0.05 / room)
    assert table.loc["a", "skill"] == pytest.approx(0.25 / room)
    assert table.loc["a", "skill_ci_low"] < 0.25 / room < table.loc["a", "skill_ci_high"]
    assert table.loc[BARS, "pearson_delta_skill"].tolist() == pytest.approx([1.0, 0.5 / room, 0.0])
    assert table.loc["train_mean", "skill"] == pytest.approx(-0.05 / room)
    assert pd.isna(table.loc["a", "discrimination_skill"])
    low, mean, high = (table.loc["a", f"pearson_delta{s}"] for s in ("_ci_low", "", "_ci_high"))
    assert low < mean < high


def test_rows_that_cannot_be_told_apart_share_their_ranks(tmp_path):
    records_of(
        tmp_path, {"a": {"pearson_delta": 0.60}, "b": {"pearson_delta": 0.599}, "c": {"pearson_delta": 0.3}}, (1, 2)
    )
    table = board(tmp_path)
    ranks = table[["rank", "rank_high"]].astype("float").loc[["a", "b", "c"]].to_numpy().tolist()
    # values scatter alike in all rows: differences are exact, so even .001 is told apart
    assert ranks == [[1, 1], [2, 2], [3, 3]]


def test_training_seeds_widen_the_interval_and_are_counted(tmp_path):
    """Two fits a split seed that differ by .1: a variance of .1^2 / 2 under each of two split seeds, over 2 x 2."""
    for seed in (1, 2):
        record_of(tmp_path, "once", {"pearson_delta": 0.5}, split_seed=seed, split_id=f"s{seed}", steps=10)
        for head, mean in ((1, 0.45), (2, 0.55)):
            options = {"split_seed": seed, "split_id": f"s{seed}", "head_seed": head, "steps": 10}
            record_of(tmp_path, "twice", {"pearson_delta": mean}, **options)
    table = board(tmp_path)
    assert table["n_training_seeds"].tolist()[:2] == [1, 2] or table["n_training_seeds"].tolist()[:2] == [2, 1]
    once, twice = (table.loc[name, "skill_ci_high"] - table.loc[name, "skill"] for name in ("once", "twice"))
    assert table.loc["once", "skill"] == pytest.approx(table.loc["twice", "skill"], rel=2e-5), "kept to 16 bits"
    noise = np.sqrt(0.1**2 / 2 / 4) / (CEILING - 0.25)
    assert twice > max(once, noise)
    # A row of one training seed borrows the noise of the others where it is ranked: the two share a place.
    assert table.loc[["once", "twice"], "rank"].tolist() == [1, 1]


def test_a_unit_on_which_any_training_seed_fell_back_is_counted(tmp_path):
    """The second fit falls back on units 2 and 11, the first on 0, 1 and 2, as all made ones do: 4 units, not 3."""
    made_record(tmp_path, "m", {"pearson_delta": 0.5})
    record, table = made("m", {"pearson_delta": 0.5}, head_seed=2)
    fell = np.zeros_like(table.fell_back)
    fell[[2, 11]] = 1
    table = replace(table, fell_back=fell)
    store.add(tmp_path, TRACK, [(record.model_copy(update={"values_hash": table.hash}), table)])
    assert (row := board(tmp_path).loc["m"])["n_fallback"] == 4
    assert (row["n_conditions"], row["n_informative"]) == (12, 8)


def test_predictions_from_other_controls_get_no_skill_rank_or_claim(three):
    records_of(three, {"alien": {"pearson_delta": 0.9}}, controls_used="unknown")
    before, after = board(three).drop(index="alien"), board(three)
    assert pd.isna(after.loc["alien", ["rank", "skill", "pearson_delta_skill"]]).all()
    assert after.loc["alien", "pearson_delta"] == pytest.approx(0.9)
    assert after.loc["a", "rank"] == before.loc["a", "rank"] == 1


def test_control_sd_is_half_the_difference_of_the_folds(three):
    assert pd.isna(board(three).loc["a", "control_sd"])
    for seed, value in enumerate((0.5, 0.4, 0.3), 1):
        record_of(three, "a", {"pearson_delta": value}, control_fold=1, split_seed=seed, split_id=f"f{seed}")
    assert board(three).loc["a", "control_sd"] == pytest.approx(0.05)


def test_tertiles_and_subgroups_stand_in_a_file_beside_the_board(three):
    files = {str(path.relative_to(three)): text for path, text in files_of(three).items()}
    assert set(files) == {"d__simulation.csv", "subgroups/d__simulation.csv"}
    parts = pd.read_csv(io.StringIO(files["subgroups/d__simulation.csv"]))
    assert set(parts["subgroup"]) == {"unseen_single", "effect_low", "effect_mid", "effect_high"}
    assert parts.columns[0] == "subgroup"
    for _, part in parts.groupby("subgroup"):
        assert set(part["model"]) >= {"a", "b", "train_mean"}


@pytest.mark.ci
def test_the_last_bit_of_a_value_changes_no_byte(three, tmp_path_factory):
    """Other processors add in another order: what people read must be the same, ties and zeros above all."""
    records_of(three, {"like_the_floor": {"pearson_delta": 0.25}, "like_b": {"pearson_delta": 0.3}})
    wanted, rng = files_of(three), np.random.default_rng(0)
    assert wanted
    for i in range(3):
        other = tmp_path_factory.mktemp(f"noise{i}")
        for entry in collect(three):

            def noisy(block):
                return block * (1 + rng.choice([-1, 0, 1], block.shape) * 2**-52)

            task = replace(entry.table.task, numbers={k: noisy(v) for k, v in entry.table.task.numbers.items()})
            own = {k: v if v.dtype == np.bool_ else noisy(v) for k, v in entry.table.numbers.items()}
            table = replace(entry.table, task=task, numbers=own)
            store.add(other, TRACK, [(entry.record.model_copy(update={"values_hash": table.hash}), table)])
        found = files_of(other)
        assert {path.name: text for path, text in found.items()} == {p.name: text for p, text in wanted.items()}


@pytest.mark.parametrize(
    ("value", "text"),
    [(1 / 3, "0.333333"), (-1e-17, "0"), (123456.5, "123457"), (71 / 128, "0.554688"), (1e-7, "1e-07"), (np.nan, "")],
)
def test_six_digits(value, text):
    assert six_digits(value) == text
    assert six_digits(np.nextafter(value, np.inf)) == six_digits(np.nextafter(value, -np.inf)) == text


def scattered(rng, model, seed, holes):
    """A table of 20 conditions: floor and replicate of the seed's own, a model's values with holes of its own."""
    task = np.random.default_rng(seed)
    names = [f"P{i:02d}+ctrl" for i in task.permutation(26)[:20]]
    base = {name: task.normal(0, 0.05, 20) for name in NAMES}
    frames = []
    for metric in NAMES:
        value = 0.3 + 0.1 * model + base[metric] + rng.normal(0, 0.2, 20)
        value[rng.random(20) < holes] = np.nan
        numbers = {"value": value, "half_value": value - 0.01, "floor": 0.2 + base[metric]}
        numbers |= {"half_floor": 0.2 + base[metric], "half_replicate": 0.9 + base[metric]}
        labels = {"condition": names, "subgroup": ["g", "h"] * 10, "effect": "", "metric": metric, "scope": "all"}
        frames.append(pd.DataFrame({**labels, **numbers, "fallbacks": 0}))
    return tables.from_long(TRACK, pd.concat(frames))


@pytest.fixture
def found_by_label(tmp_path):
    """Rows with holes of their own, one with two head seeds, one without seed 3, and the floor."""
    rng = np.random.default_rng(0)
    out = collections.defaultdict(dict)
    for model, (name, holes) in enumerate({"a": 0.0, "b": 0.1, "c": 0.5, "heads": 0.0, "late": 0.2}.items()):
        for seed in (1, 2, 3) if name != "late" else (1, 2):
            for head in (1, 2) if name == "heads" else (1,):
                spec = {"split_seed": seed, "split_id": f"s{seed}", "head_seed": head}
                record, _ = made(name, {"pearson_delta": 0.5}, **spec)
                table = scattered(rng, model, seed, holes)
                found = BoardEntry(TRACK, record, tmp_path / f"{name}{seed}", lambda table=table: table)
                out[name].setdefault(seed, []).append(found)
    return out


@pytest.mark.parametrize("scope", ["all", "g"])
def test_a_board_says_what_each_row_alone_says(scope, found_by_label):
    """The whole board at once against row after row."""
    items = [found for row in found_by_label.values() for heads in row.values() for found in heads]
    table = make_board(items, scope, seeds=[1, 2, 3]).set_index("model")
    for label, row in found_by_label.items():
        by_seed = [[found.table for found in row[seed]] for seed in sorted(row)]
        plan = plan_for(by_seed, scope)
        whole = bars(TRACK, [heads[0] for heads in by_seed], "all", plan_for(by_seed, "all"))
        limits = bars(TRACK, [heads[0] for heads in by_seed], scope, plan, whole)
        one = place(TRACK, [by_seed], scope, plan, limits, [True])
        got = table.loc[label]
        for suffix, wanted in {"": one.theta[0], "_ci_low": one.theta[0] - one.width[0]}.items():
            numbers = got[[f"{name}{suffix}" for name in NAMES]].to_numpy(dtype=float)
            np.testing.assert_allclose(numbers, wanted, rtol=1e-12, atol=1e-12)
        assert got["skill"] == pytest.approx(one.headline.value[0], abs=1e-12, nan_ok=True)
        low, high = one.bounds()
        assert got["skill_ci_low"] == pytest.approx(low[0], abs=1e-12, nan_ok=True)
        assert got["skill_ci_high"] == pytest.approx(high[0], abs=1e-12, nan_ok=True)
    assert pd.isna(table.loc["late", "rank"])
    assert table.loc["heads", "n_training_seeds"] is pd.NA  # a closed form has none


def test_every_file_is_read_once_however_many_boards_it_stands_on(three, monkeypatch):
    opened = collections.Counter()
    read = Path.read_bytes

    def counted(path):
        opened[path] += 1
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert len(files_of(three)) == 2
    found = [path for path in (three / "records").rglob("*") if path.is_file()]
    assert found and {path: times for path, times in opened.items() if path in found} == dict.fromkeys(found, 1)
