"""Bars and boxes of a track whose splits stand in one CSV: what is drawn is what the board and the records hold."""

from __future__ import annotations

from pathlib import Path

import pytest

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
