"""``bench explain`` knows every word that a board prints."""

import csv
import io
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pandas as pd
import pyarrow.parquet as pq
import pytest
from command import bench
from harness import made_record

from bench.cli import suite as suite_cli
from bench.core.errors import BenchError
from bench.data.profiles.wells import MODALITIES
from bench.reports.explain import explain as describe
from bench.reports.text import layout
from bench.reports.words import METRIC_OF, WORDS, sentences
from bench.results import leaderboard
from bench.results.board import board
from bench.results.store import members
from bench.tracks import registry
from bench.tracks.matching.options import TASKS, Options
from bench.tracks.matching.outcome import Status
from bench.tracks.matching.table import layout as profiles_layout
from bench.tracks.matching.track import TRACK as MATCHING
from bench.tracks.planning.track import columns_of
from bench.tracks.representation.table import layout as frozen_layout
from bench.tracks.response.track import TRACK

BOARDS = Path(__file__).resolve().parents[2] / "leaderboards"


def test_every_title_of_a_board_is_known(tmp_path):
    made_record(tmp_path, "m", {"pearson_delta": 0.5})
    (items,) = leaderboard.group(leaderboard.collect(TRACK, [tmp_path])).values()
    titles = [str(column.header) for column in layout(TRACK, board(items)).columns]
    titles += [str(column.header) for column in frozen_layout(pd.DataFrame()).columns]
    assert len(titles) > 15
    assert [title for title in titles if sentences(title) is None] == []
    assert all(sentences(row) for row in ("replicate", "train_mean", "floor", "chance", "DE"))


def test_every_title_of_a_comparison_is_known(tmp_path, capsys):
    for name, mean in {"a": 0.5, "b": 0.4}.items():
        made_record(tmp_path, name, {"pearson_delta": mean})
    _, out, _ = bench(capsys, "compare", "a", "b", "--data", "d", "--leaderboards", tmp_path)
    titles = [title.strip() for title in out.splitlines()[1].split("  ") if title.strip()]
    assert titles[:3] == ["metric", "scope", "difference [95% CI]"]
    words = [word for title in titles for word in ([title] if title in WORDS else title.split())]
    assert all(sentences(word) for word in words), words


def test_every_word_of_a_table_of_profiles_is_known(capsys):
    titles = [str(column.header) for column in profiles_layout(pd.DataFrame()).columns]
    assert titles[:3] == ["rank", "profiles", "mAP*"] and "plate" in titles and titles[-1] == "status"
    printed = [*titles, *MATCHING.numbers, *filter(None, get_args(Status)), *TASKS, *MODALITIES, "pub.", "labels"]
    # What stands in brackets behind a row's name, by name and by value.
    options = {field.name: field for field in fields(Options)}
    kinds = get_type_hints(Options)
    values = [value for name in options for value in get_args(kinds[name]) if value != options[name].default]
    assert {"kpca", "split", "geomean_p", "compound", "wells"} == {*values} - {"sphering", "plate_z"}
    printed += [*options, *(value for value in values if value != "wells")]
    assert all(len(describe(word, [])) > 1 for word in printed)  # an unknown word is an error
    code, out, _ = bench(capsys, "explain", "plate_z")
    assert code == 0 and out.startswith("correction=plate_z\n")
    code, out, _ = bench(capsys, "explain", "mAP*")
    assert code == 0 and "between chance (0) and perfect (1)" in out and "bench explain map_normalised" in out


def test_every_word_of_the_published_boards_is_known():
    """Columns of every CSV, what kinds of rows and subgroups there are, families in 'mostly by'; names of models,
    contexts and runs are no words.
    """
    printed = {"fell back", "as mean", "nothing", "null"}
    for path in [*BOARDS.glob("*.csv"), *BOARDS.glob("subgroups/*.csv")]:
        head, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
        printed |= {*head, *(row[head.index("kind")].removesuffix(" with fallbacks") for row in rows)} - {"bar"}
        if head[0] == "subgroup":
            printed |= {row[0] for row in rows if not row[0].startswith("line")}  # lines are contexts
    printed |= {name for track in registry.tracks() for name in (*track.families, *track.numbers)}
    assert {"effect_high", "effective_rank", "e1_mrr_null_p", "steering", "control_sd", "head-room"} <= printed
    assert all(len(describe(word, [])) > 1 for word in printed)  # an unknown word is an error
    for word in ("r2_nonsense", "nonsense_ci_low", "nonsense_skill"):
        with pytest.raises(BenchError, match="unknown word"):
            describe(word, [])


@pytest.mark.parametrize("word", sorted(WORDS))
def test_words_are_sentences(word):
    text = WORDS[word]
    assert text[0].isupper() and text.endswith(".") and len(text.split()) > 7


def test_metrics_behind_words_are_registered():
    known = {name for track in registry.tracks() for name in track.metrics}
    assert set(METRIC_OF) <= set(WORDS) and set(METRIC_OF.values()) <= known


def test_words_on_the_command_line(tmp_path, capsys):
    made_record(tmp_path, "m", {"pearson_delta": 0.5})
    for argv in (["pattern r"], ["pattern", "r"], ["Pattern R"]):
        code, out, err = bench(capsys, "explain", *argv, "--leaderboards", tmp_path)
        assert (code, err) == (0, "") and out.startswith("pattern r\n") and "correlation" in out
        assert "on d, simulation: floor 0.25, replicate 0.75" in out
    code, _, err = bench(capsys, "explain", "patern r", "--leaderboards", tmp_path)
    assert code == 2 and "Did you mean 'pattern r'" in err


def test_every_blind_answer_of_a_committed_board_is_known():
    """Below a board the floor of each family is named by the answer that it is."""
    tasks = [
        held["task.parquet"] for path in BOARDS.glob("records/*/*.zip") if "task.parquet" in (held := members(path))
    ]
    columns = {name for blob in tasks for name in pq.read_schema(io.BytesIO(blob)).names if name.startswith("blind:")}
    answers = {name.removeprefix("blind:").split(".")[0] for name in columns}
    assert {"chance", "-pc1", "unseen_largest", "two_way_sum_25", "mean_by_number"} < answers
    for name in answers:
        assert len(describe(name, [])) > 1, name
    assert "turns it round" in " ".join(" ".join(describe("-pc1", [])).split())
    with pytest.raises(BenchError, match="unknown word"):
        describe("spam", [])


def test_every_title_of_planning_the_tool_and_the_suite_is_known():
    tables = [column.title for task in ("e1", "e2", "e3", "e4", "e5", "e6") for column in columns_of(task)]
    tool = ["rank", "perturbation", "dose", "time", "before", "after", "share", "uncertainty", "known"]
    for title in {*tables, *suite_cli._HEAD, *tool}:
        assert len(describe(title, [])) > 1, title
