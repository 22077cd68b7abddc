"""Boards from records small enough to compute by hand."""

import io
import shutil

import pandas as pd
import pytest
from harness import made_record

from bench import leaderboard, records
from bench.errors import BenchError


@pytest.fixture
def three(tmp_path):
    """Three models, three seeds: pearson_delta a .6 .5 .4, b .3 .3 .3, floor .1 .2 .3."""
    for model, values in {"a": (0.6, 0.5, 0.4), "b": (0.3, 0.3, 0.3), "train_mean": (0.1, 0.2, 0.3)}.items():
        for seed, value in enumerate(values, 1):
            made_record(tmp_path, model, {"pearson_delta": value, "r2": 0.5}, split_seed=seed, split_id=f"s{seed}")
    return tmp_path


def board(folder, **options):
    items = leaderboard.group(leaderboard.collect([folder]))["d", "simulation"]
    return leaderboard.board(items, **options).set_index("model")


def test_means_ranks_and_bars_by_hand(three):
    table = board(three)
    assert list(table.index) == ["a", "b", "replicate", "train_mean"]
    assert table["pearson_delta"].tolist() == pytest.approx([0.5, 0.3, 0.75, 0.2])
    assert table["rank"].tolist()[:2] == [1, 2]
    assert table["rank"].isna().tolist() == [False, False, True, True]
    assert table.loc["a", "n_seeds"] == 3
    assert table.loc["a", "n_conditions"] == 12
    assert table.loc["a", "n_informative"] == 9
    assert table.loc["a", "n_fallback"] == 3
    assert table.loc["a", "wall_s"] == 1.5
    assert table.loc["a", "parameters"] == 3
    assert len(table.loc["a", "run_ids"].split()) == 3


def test_columns_are_those_promised(three):
    columns = list(board(three).reset_index().columns)
    assert set(columns[:5]) == {"model", "rank", "n_seeds", "n_conditions", "n_informative"}
    assert columns[-4:] == ["n_fallback", "wall_s", "parameters", "run_ids"]
    text = (leaderboard.expected_files(three))[three / "d__simulation.csv"]
    assert text.splitlines()[0].startswith("rank,model,n_seeds,n_conditions,n_informative,pearson_delta")


def test_adding_a_row_moves_no_other(three):
    before = board(three)
    made_record(three, "new", {"pearson_delta": 0.9}, split_seed=1, split_id="s1")
    made_record(three, "more", {"pearson_delta": 0.9}, split_seed=4, split_id="s4")
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
        made_record(three, "c", {"pearson_delta": 0.3}, split_seed=seed, split_id=f"s{seed}")
    assert board(three)["rank"].tolist()[:3] == [1, 2, 2]


def test_fold_one_stands_in_run_ids_and_moves_nothing(three):
    before = board(three)
    made_record(three, "a", {"pearson_delta": -1.0}, split_seed=1, control_fold=1, split_id="f1")
    after = board(three)
    assert after["pearson_delta"].tolist() == before["pearson_delta"].tolist()
    assert len(after.loc["a", "run_ids"].split()) == 4


def test_undefined_stays_empty_in_the_csv(three):
    for seed in (1, 2, 3):
        made_record(three, "none", {"pearson_delta": 0.2, "r2": None}, split_seed=seed, split_id=f"s{seed}")
    text = leaderboard.expected_files(three)[three / "d__simulation.csv"]
    row = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False).set_index("model").loc["none"]
    assert row["r2"] == ""
    assert row["pearson_delta"].startswith("0.2")
    assert "nan" not in text.lower()


def test_variants_are_rows_of_their_own(three):
    made_record(three, "a", {"pearson_delta": 0.1}, variant={"rank": 5}, arguments={"rank": 5})
    assert "a[rank=5]" in board(three).index


def test_same_records_give_identical_bytes(three, tmp_path_factory):
    other = tmp_path_factory.mktemp("copy")
    shutil.copytree(three / "records", other / "records")
    one = {p.name: t for p, t in leaderboard.expected_files(three).items()}
    two = {p.name: t for p, t in leaderboard.expected_files(other).items()}
    assert one == two


def test_regenerate_then_check(three):
    changed = leaderboard.regenerate(three)
    assert [p.name for p in changed] == ["d__simulation.csv"]
    assert leaderboard.regenerate(three) == []
    assert leaderboard.check(three) == 1
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
    record = made_record(three, "z", {"pearson_delta": 0.1}, **change)
    with pytest.raises(BenchError, match=message) as error:
        leaderboard.expected_files(three)
    assert record.run_id in str(error.value)


def test_records_of_one_task_must_agree_on_the_floor(three):
    path = next((three / "records" / "d" / "a").glob("*.json"))
    record = records.read(path)
    level = record.metrics["pearson_delta"].model_copy(update={"floor": 0.9})
    records.write(path, record.model_copy(update={"metrics": {**record.metrics, "pearson_delta": level}}))
    with pytest.raises(BenchError, match="disagree on its floor"):
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
