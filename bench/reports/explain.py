"""``bench explain WORD``: what a word of a board means; of a metric also where it ends, and which trap it avoids."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.core.errors import BenchError, unknown
from bench.core.track import Column, MetricInfo, Track
from bench.reports.answer_words import of_answer
from bench.reports.csv_words import COLUMN_WORDS, of_column
from bench.reports.words import METRIC_OF, WORDS, sentences
from bench.results import leaderboard
from bench.results.board import FLOOR, REPLICATE, board
from bench.tracks import registry

_DIRECTION = {
    "high": "higher is better",
    "low": "lower is better",
    "one": "1 is right",
    "zero": "0 is right",
    "none": "descriptive, no direction",
}


def explain(name: str, folders: Sequence[Path]) -> list[str]:
    """Explain a word of a board, or a metric, in lines for people.

    Args:
        name: A word as a board prints it, or a metric of any track.
        folders: Leaderboards folders whose boards give floors and replicates.

    Raises:
        BenchError: Neither a word nor a metric.
    """
    if found := sentences(name):
        word, text = found
        said = [word, *textwrap.wrap(text, 98, initial_indent="  ", subsequent_indent="  ")]
        behind = METRIC_OF.get(word)
        if behind is None:
            return said
        track = next(track for track in registry.tracks() if behind in track.metrics)
        return [*said, f"  The metric behind it: bench explain {behind}", *_levels(track, behind, folders)]
    holders = [track for track in registry.tracks() if name in track.metrics]
    if not holders:
        return _number(name)
    metric = holders[0].metrics[name]
    lines = _described(name, metric)
    return lines + [line for track in holders for line in _levels(track, name, folders)]


def _described(name: str, metric: MetricInfo) -> list[str]:
    """How a metric, or a number of a whole run, is read."""
    return [
        name,
        f"  formula    {metric.formula}",
        f"  direction  {_DIRECTION[metric.better]}; range {metric.range[0]:g} to {metric.range[1]:g}",
        f"  chance     {metric.chance_text or 'none'}",
        f"  family     {metric.family or 'none'}" + ("" if metric.family else " (not part of the mean skill)"),
        f"  source     {metric.source}",
        f"  avoids     {metric.trap}",
    ]


def _number(name: str) -> list[str]:
    """What is neither a word nor a metric: the title of a column, a number of a whole run, or a column of a CSV.

    Raises:
        BenchError: Nothing of that name is printed.
    """
    tracks = registry.tracks()
    if column := _column(name):
        _, text = sentences(column.title) or ("", column.meaning)
        said = textwrap.wrap(text, 98, initial_indent="  ", subsequent_indent="  ")
        return [column.title, *said, f"  The number behind it: {column.metric}"]
    for track in tracks:
        if name in track.number_info:
            return _described(name, track.number_info[name])
    if text := of_answer(name):
        return [name, *textwrap.wrap(text, 98, initial_indent="  ", subsequent_indent="  ")]
    known = {metric for track in tracks for metric in (*track.metrics, *track.numbers)}
    if text := of_column(name, frozenset(known | {"skill", *COLUMN_WORDS})):
        return [name, *textwrap.wrap(text, 98, initial_indent="  ", subsequent_indent="  ")]
    titles = {column.title for track in tracks for column in track.columns}
    raise unknown("word or metric", name, {*WORDS, *known, *titles})


def _column(title: str) -> Column | None:
    """The column of a board that has this title, or shows this number."""
    columns = (column for track in registry.tracks() for column in track.columns)
    return next((column for column in columns if title in (column.title, column.metric)), None)


def _levels(track: Track, name: str, folders: Sequence[Path]) -> list[str]:
    try:
        groups = leaderboard.group(leaderboard.collect(track, folders), say=lambda _: None)
    except BenchError:
        return []  # what a metric means does not depend on whether the boards are in order
    lines = []
    for (dataset, split), items in sorted(groups.items()):
        table = board(items)
        if table.empty or not {FLOOR, REPLICATE} <= set(table["model"]):
            continue
        by_model: pd.Series = table.set_index("model")[name]
        floor, replicate = (float(by_model[label]) for label in (FLOOR, REPLICATE))
        if np.isfinite(floor) or np.isfinite(replicate):
            lines.append(f"  on {dataset}, {split}: floor {_text(floor)}, replicate {_text(replicate)}")
    return lines


def _text(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "undefined"
