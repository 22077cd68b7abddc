"""Boards from records small enough to compute by hand."""

import collections
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from harness import made_record

from bench.core.errors import BenchError
from bench.reports.text import warnings_of
from bench.results import leaderboard, tables
from bench.results.board import board as make_board
from bench.results.rows import FAMILIES, NAMES, PRIMARY, Found
from bench.results.skill import mean_skill, skill_draws
from bench.results.summary import plan_for, summarise
from bench.stats.intervals import deviation, half_width
from bench.stats.ranks import ranks


def record_of(folder, model, means, **options):
    """A record with two families alike: a mean skill takes at least two."""
    return made_record(folder, model, {**means, "spearman_de": means["pearson_delta"]}, **options)


@pytest.fixture
def three(tmp_path):
    """Three models, three seeds: pearson_delta a .6 .5 .4, b .3 .3 .3, floor .1 .2 .3."""
    for model, values in {"a": (0.6, 0.5, 0.4), "b": (0.3, 0.3, 0.3), "train_mean": (0.1, 0.2, 0.3)}.items():
        for seed, value in enumerate(values, 1):
            record_of(tmp_path, model, {"pearson_delta": value, "r2": 0.5}, split_seed=seed, split_id=f"s{seed}")
    return tmp_path


def board(folder, **options):
    items = leaderboard.group(leaderboard.collect([folder]))["d", "simulation"]
    return make_board(items, **options).set_index("model")


def test_means_ranks_and_bars_by_hand(three):
    table = board(three)
    assert list(table.index) == ["a", "b", "replicate", "train_mean"]
    assert table["pearson_delta"].tolist() == pytest.approx([0.5, 0.3, 0.75, 0.2])
    assert table["rank"].tolist()[:2] == [1, 2]
    assert table["rank"].isna().tolist() == [False, False, True, True]
    assert table.loc["a", "n_seeds"] == 3
    assert table.loc["a", "n_conditions"] == 36
    assert table.loc["a", "n_informative"] == 27
    assert table.loc["a", "n_fallback"] == 9
    assert table.loc["a", "wall_s"] == 1.5
    assert table.loc["a", "parameters"] == 3
    assert len(table.loc["a", "run_ids"].split()) == 3


def test_a_row_that_fell_back_in_more_than_a_tenth_says_so(three):
    found = leaderboard.group(leaderboard.collect([three]))["d", "simulation"]
    table = make_board(found)
    said = [line for line in warnings_of(table, [item.record for item in found], [1, 2, 3]) if "unknown" in line]
    assert len(said) == 1 and "a (25%), b (25%)" in said[0] and "train_mean" not in said[0]
    table["n_fallback"] = [3, 4, None, 9]  # of 36 conditions: 3 are under a tenth, 4 are over
    (said,) = [line for line in warnings_of(table, [item.record for item in found], [1, 2, 3]) if "unknown" in line]
    assert said.endswith(": b (11%).")


def test_a_note_that_not_all_rows_carry_names_those_that_do(three):
    found = [item.record for item in leaderboard.group(leaderboard.collect([three]))["d", "simulation"]]
    given = {"a": ("of all", "of a: 1.5"), "b": ("of all",), "train_mean": ("of all",)}
    noted = [record.model_copy(update={"warnings": given[record.spec.label]}) for record in found]
    again = next(record for record in noted if record.spec.label == "a")
    noted.append(again.model_copy(update={"warnings": ("of a: 2",)}))  # the same of another seed
    said = warnings_of(make_board(leaderboard.group(leaderboard.collect([three]))["d", "simulation"]), noted, [1, 2, 3])
    assert said[-2:] == ["note: of all", "note (a): of a: 1.5"]


def test_columns_are_those_promised(three):
    columns = list(board(three).reset_index().columns)
    assert set(columns[:5]) == {"model", "rank", "rank_low", "rank_high", "skill"}
    assert columns[-6:] == ["beat_rate", "control_sd", "n_fallback", "wall_s", "parameters", "run_ids"]
    text = (leaderboard.expected_files(three))[three / "d__simulation.csv"]
    header = text.splitlines()[0]
    assert header.startswith("rank,rank_low,rank_high,model,skill,skill_ci_low,skill_ci_high,n_seeds,n_conditions")
    assert "pearson_delta,pearson_delta_ci_low,pearson_delta_ci_high,pearson_delta_skill" in header


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
    assert table["pearson_delta"].tolist() == pytest.approx([0.6, 0.3, 0.75, 0.1])


def test_ties_share_a_rank(three):
    for seed in (1, 2, 3):
        record_of(three, "c", {"pearson_delta": 0.3}, split_seed=seed, split_id=f"s{seed}")
    assert board(three)["rank"].tolist()[:3] == [1, 2, 2]


def test_fold_one_stands_in_run_ids_and_moves_nothing(three):
    before = board(three)
    record_of(three, "a", {"pearson_delta": -1.0}, split_seed=1, control_fold=1, split_id="f1")
    after = board(three)
    assert after["pearson_delta"].tolist() == before["pearson_delta"].tolist()
    assert len(after.loc["a", "run_ids"].split()) == 4


def test_undefined_stays_empty_in_the_csv(three):
    for seed in (1, 2, 3):
        record_of(three, "none", {"pearson_delta": 0.2, "r2": None}, split_seed=seed, split_id=f"s{seed}")
    text = leaderboard.expected_files(three)[three / "d__simulation.csv"]
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
    one = {p.name: t for p, t in leaderboard.expected_files(three).items()}
    two = {p.name: t for p, t in leaderboard.expected_files(other).items()}
    assert one == two


def test_regenerate_then_check(three):
    changed = leaderboard.regenerate(three)
    assert changed[0].name == "d__simulation.csv"
    assert leaderboard.regenerate(three) == []
    assert leaderboard.check(three) == 5
    csv = three / "d__simulation.csv"
    csv.write_text(csv.read_text().replace("0.5", "0.9", 1))
    with pytest.raises(BenchError, match="d__simulation.csv"):
        leaderboard.check(three)
    leaderboard.regenerate(three)
    stale = three / "gone__simulation.csv"
    stale.write_text("rank,model\n")
    with pytest.raises(BenchError, match="gone__simulation.csv"):
        leaderboard.check(three)
    leaderboard.regenerate(three)
    assert not stale.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_hash": "other"}, "data_hash"),
        ({"scoring_version": 99}, "scoring_version"),
        ({"split_id": "x"}, "split_id"),
    ],
)
def test_what_cannot_stand_in_one_table_is_refused_and_named(change, message, three):
    record = record_of(three, "z", {"pearson_delta": 0.1}, **change)
    with pytest.raises(BenchError, match=message) as error:
        leaderboard.expected_files(three)
    assert record.run_id in str(error.value)


def test_records_of_one_task_must_agree_on_the_floor(three):
    record_of(three, "c", {"pearson_delta": 0.3}, floor=0.3)
    with pytest.raises(BenchError, match="disagree on the floor"):
        leaderboard.expected_files(three)


@pytest.mark.parametrize("damage", ["truncate", "edit id", "edit table", "no table", "nan", "extra field"])
def test_damaged_records_are_named_never_used(damage, three):
    path = next((three / "records" / "d" / "a").glob("*.json"))
    text = path.read_text()
    if damage == "truncate":
        path.write_text(text[: len(text) // 2])
    elif damage == "edit id":
        path.write_text(
            text.replace('"split_seed": 1', '"split_seed": 8')
            .replace('"split_seed": 2', '"split_seed": 8')
            .replace('"split_seed": 3', '"split_seed": 8')
        )
    elif damage == "edit table":
        path.with_suffix(".parquet").write_bytes(b"other")
    elif damage == "no table":
        path.with_suffix(".parquet").unlink()
    elif damage == "nan":
        path.write_text(text.replace('"mean": 0.', '"mean": NaN, "x": 0.'))
    else:
        path.write_text(text.replace('"evidence"', '"surprise": 1, "evidence"'))
    with pytest.raises(BenchError, match=path.stem):
        leaderboard.collect([three])


def test_skill_by_hand_and_its_interval(three):
    """(0.5 - 0.25) / (0.75 - 0.25) = .5; the mean over families is over the one that is defined."""
    table = board(three)
    assert table.loc["a", "pearson_delta_skill"] == pytest.approx(0.5)
    assert table.loc["b", "pearson_delta_skill"] == pytest.approx(0.1)
    assert table.loc["a", "skill"] == pytest.approx(0.5)
    assert table.loc["a", "skill_ci_low"] < 0.5 < table.loc["a", "skill_ci_high"]
    assert table.loc["replicate", "skill"] == 1
    assert table.loc["train_mean", "skill"] == 0
    assert pd.isna(table.loc["a", "discrimination_skill"])
    low, mean, high = (table.loc["a", f"pearson_delta{s}"] for s in ("_ci_low", "", "_ci_high"))
    assert low < mean < high


def test_rows_that_cannot_be_told_apart_share_their_ranks(tmp_path):
    for name, mean in {"a": 0.60, "b": 0.599, "c": 0.3}.items():
        for seed in (1, 2):
            record_of(tmp_path, name, {"pearson_delta": mean}, split_seed=seed, split_id=f"s{seed}")
    table = board(tmp_path)
    ranks = table[["rank", "rank_low", "rank_high"]].astype("float").loc[["a", "b", "c"]].to_numpy().tolist()
    # values scatter alike in all rows: differences are exact, so even .001 is told apart
    assert ranks == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]


def test_predictions_from_other_controls_get_no_skill_rank_or_claim(three):
    for seed in (1, 2, 3):
        record_of(three, "alien", {"pearson_delta": 0.9}, controls_used="unknown", split_seed=seed, split_id=f"s{seed}")
    before, after = board(three).drop(index="alien"), board(three)
    assert pd.isna(after.loc["alien", ["rank", "rank_low", "skill", "pearson_delta_skill"]]).all()
    assert after.loc["alien", "pearson_delta"] == pytest.approx(0.9)
    assert after.loc["a", "rank"] == before.loc["a", "rank"] == 1


def test_control_sd_is_half_the_difference_of_the_folds(three):
    assert pd.isna(board(three).loc["a", "control_sd"])
    for seed, value in enumerate((0.5, 0.4, 0.3), 1):
        record_of(three, "a", {"pearson_delta": value}, control_fold=1, split_seed=seed, split_id=f"f{seed}")
    assert board(three).loc["a", "control_sd"] == pytest.approx(0.05)


def test_tertiles_and_subgroups_have_files_of_their_own(three):
    names = {path.name for path in leaderboard.expected_files(three)}
    assert names == {
        "d__simulation.csv",
        "d__simulation__unseen_single.csv",
        *(f"d__simulation__effect_{third}.csv" for third in ("low", "mid", "high")),
    }


def test_numbers_from_another_machine_are_the_same_numbers(three):
    leaderboard.regenerate(three)
    csv = three / "d__simulation.csv"
    text = csv.read_text()
    value = next(cell for cell in text.splitlines()[1].split(",") if cell.startswith("0.") and len(cell) > 16)
    csv.write_text(text.replace(value, value[:-1] + ("1" if value[-1] != "1" else "2")))
    assert leaderboard.check(three)
    assert leaderboard.regenerate(three) == []


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
    return tables.arrange(pa.Table.from_pandas(pd.concat(frames), preserve_index=False), NAMES)


@pytest.fixture
def found_by_label(tmp_path):
    """Rows with holes of their own, one with two head seeds, one without seed 3, and the floor."""
    rng = np.random.default_rng(0)
    out = collections.defaultdict(dict)
    for model, (name, holes) in enumerate({"a": 0.0, "b": 0.1, "c": 0.5, "heads": 0.0, "late": 0.2}.items()):
        for seed in (1, 2, 3) if name != "late" else (1, 2):
            for head in (1, 2) if name == "heads" else (1,):
                spec = {"split_seed": seed, "split_id": f"s{seed}", "head_seed": head}
                found = Found(record_of(tmp_path, name, {"pearson_delta": 0.5}, **spec), tmp_path / f"{name}{seed}")
                found.__dict__["table"] = scattered(rng, model, seed, holes)
                out[name].setdefault(seed, []).append(found)
    return out


@pytest.mark.parametrize("scope", ["all", "g"])
def test_a_board_says_what_the_draws_of_each_row_alone_say(scope, found_by_label):
    """The whole board at once against row after row with every draw spelled out."""
    items = [found for row in found_by_label.values() for heads in row.values() for found in heads]
    table = make_board(items, scope, seeds=[1, 2, 3]).set_index("model")
    columns, draws = [NAMES.index(name) for name in FAMILIES.values()], {}
    for label, row in found_by_label.items():
        by_seed = [[found.table for found in row[seed]] for seed in sorted(row)]
        one = summarise(by_seed, scope, plan_for(by_seed, scope))
        value, m = one.levels["value"], NAMES.index(PRIMARY)
        width = half_width(value.level, value.n, value.distinct)
        got = table.loc[label]
        for suffix, wanted in {"": value.theta, "_ci_low": value.theta - width, "_skill": one.skill.value}.items():
            numbers = got[[f"{name}{suffix}" for name in NAMES]].to_numpy(dtype=float)
            np.testing.assert_allclose(numbers, wanted, rtol=1e-12, atol=1e-12)
        bars = one.between.floor, one.between.replicate
        skill = one.skill.value[columns]
        mean = {}
        for kind in ("paired", "level"):
            model, floor, replicate = (getattr(x, kind)[:, columns].T for x in (one.levels["half_value"], *bars))
            mean[kind] = mean_skill(
                skill_draws(skill[None], model[None], floor, replicate, one.between.room[columns]), 1
            )
        floor = bars[0]
        width = half_width(mean["level"].T, floor.n[[m]], floor.distinct[[m]])[0]
        assert got["skill"] == pytest.approx(mean_skill(skill), abs=1e-12)
        assert got["skill_ci_high"] - got["skill"] == pytest.approx(width, abs=1e-12, nan_ok=True)
        if len(row) == 3:
            unit = half_width(mean["paired"].T, floor.n[[m]], floor.distinct[[m]])[0] / deviation(mean["paired"].T)[0]
            draws[label] = got["skill"], mean["paired"][0]
    places = ranks(np.array([s for s, _ in draws.values()]), np.stack([d for _, d in draws.values()]), unit)
    assert table.loc[list(draws), ["rank", "rank_low", "rank_high"]].to_numpy().tolist() == places.tolist()
    assert pd.isna(table.loc["late", "rank"])


def test_ranks_by_hand():
    """b and c cannot be told apart, a is better than both."""
    rng = np.random.default_rng(0)
    draws = np.array([[0.9], [0.5], [0.45]]) + rng.normal(0, 0.1, (3, 2000))
    assert ranks(np.array([0.9, 0.5, 0.45]), draws, 2.0).tolist() == [[1, 1, 1], [2, 2, 3], [3, 2, 3]]
    assert ranks(np.array([0.9, 0.5, 0.45]), draws, np.nan).tolist() == [[1, 1, 3], [2, 1, 3], [3, 1, 3]]


def test_every_record_and_table_is_decoded_once_however_many_boards_it_stands_on(three, monkeypatch):
    opened = collections.Counter()
    read = Path.read_bytes

    def counted(path):
        opened[path] += 1
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert len(leaderboard.expected_files(three)) == 5
    files = [path for path in (three / "records").rglob("*") if path.is_file()]
    assert len(files) == 18
    assert opened == dict.fromkeys(files, 1)
