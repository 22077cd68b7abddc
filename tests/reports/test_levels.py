"""Bars and boxes of a track whose splits stand in one CSV: what is drawn is what the board and the records hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.reports.figures import levels
from bench.reports.figures.levels import bars_table, boxes_table, draw_levels
from bench.results import leaderboard
from bench.results.board import board
from bench.tracks import registry

ROOT = Path(__file__).resolve().parents[2] / "leaderboards"


@pytest.fixture(scope="module")
def items():
    track = registry.by_verb("frozen")
    groups = leaderboard.group(leaderboard.collect(track, [ROOT], "simulated"))
    name, entries = next(iter(sorted(groups.items())))
    return track, {name[1]: entries}


def test_bars_are_the_board(items):
    track, groups = items
    (split, entries), drawn = next(iter(groups.items())), bars_table(*items)
    table = board(entries).set_index("model")
    assert (drawn["split"] == split).all()
    for row in drawn.itertuples():
        assert row.level == pytest.approx(table.loc[str(row.label), track.primary], abs=1e-12)
        assert row.low <= row.level <= row.high
    best = drawn.sort_values("level", ascending=False)["label"].astype(str).tolist()
    assert best == [name for name in drawn["label"].cat.categories if name in best]


def test_boxes_hold_every_unit_of_every_split_seed(items):
    track, groups = items
    wanted: dict[str, dict[int, int]] = {}
    for entry in next(iter(groups.values())):
        spec = entry.record.spec
        wanted.setdefault(spec.label, {})[spec.split_seed] = len(entry.values.conditions["all"])
    counts = boxes_table(track, groups).groupby("label", observed=True).size()
    assert len(counts)
    for label, count in counts.items():
        assert count == sum(wanted[str(label)].values())
    assert boxes_table(track, {}).empty


def test_nothing_to_draw_draws_nothing(tmp_path, items):
    assert draw_levels(items[0], [tmp_path], [], tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_rows_that_were_asked_for_are_shown_whatever_they_are_worth_and_the_number_of_all_is_said(items, monkeypatch):
    monkeypatch.setattr(levels, "MAX_ROWS", 6)
    track, groups = items
    table = board(next(iter(groups.values()))).dropna(subset=[track.primary]).sort_values(track.primary)
    worst = str(table["model"].iloc[0])
    assert len(table) > 6
    for made, draw in ((bars_table, levels.bars_chart), (boxes_table, levels.boxes_chart)):
        without, drawn = made(track, groups), made(track, groups, [worst])
        assert worst not in without["label"].astype(str).tolist()
        names = drawn["label"].cat.categories
        assert worst == names[-1] and len(names) == levels.MAX_ROWS
        said = draw(track, drawn, "simulated").to_dict()["title"]["subtitle"]
        rows = drawn.attrs["rows"]
        assert f"6 of {rows} rows are shown" in " ".join(said) and rows >= len(table)
        few = drawn[drawn["label"].isin(names[:3])].assign(label=lambda t: t["label"].cat.remove_unused_categories())
        few.attrs["rows"] = 3
        assert "rows are shown" not in " ".join(draw(track, few, "simulated").to_dict()["title"]["subtitle"])
