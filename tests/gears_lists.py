"""Condition lists that cell-gears' own splitter drew, frozen: importing it takes 20 seconds of every process.

``data/gears_lists.json`` holds, by name of a label set, its labels and the lists by ``<kind> <seed>``. The tests marked
slow in ``data/test_gears_splits.py`` draw all of them again. A draw that is not there is made by cell-gears, as always.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.data.splits import gears
from bench.data.splits.gears import draw_with_gears

Lists = dict[str, list[str]]

#: Kinds of split that are cell-gears' own.
KINDS = ("simulation", "simulation_single", "combo_seen0", "combo_seen1", "combo_seen2", "single")
FROZEN = json.loads((Path(__file__).parent / "data" / "gears_lists.json").read_text(encoding="utf-8"))


def draws() -> Iterator[tuple[str, list[str], str, int, Lists]]:
    """Name of the label set, labels, kind, seed and lists of each frozen draw."""
    for name, entry in FROZEN.items():
        for draw, lists in entry["lists"].items():
            kind, seed = draw.split()
            yield name, entry["labels"], kind, int(seed), lists


def fill_cache() -> None:
    """Put the frozen lists where drawn ones are kept, for this process and those that share its cache."""
    for _, labels, kind, seed, lists in draws():
        path = gears.cached_at(labels, kind, seed)
        if not path.is_file():
            gears.keep_lists(path, kind, seed, lists)


def lists_of(labels: Sequence[str], kind: str, seed: int) -> Lists:
    """The frozen lists of a draw, or else those that cell-gears draws."""
    for _, known, of, drawn, lists in draws():
        if (of, drawn) == (kind, seed) and set(known) == set(labels):
            return lists
    return draw_with_gears(labels, kind, seed)
