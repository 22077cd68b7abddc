"""``bench explain WORD``: what a word of a board means; of a metric also where it ends, and which trap it avoids."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.core.errors import BenchError, unknown
from bench.reports.words import METRIC_OF, WORDS, sentences
from bench.results import leaderboard
from bench.results.board import FLOOR, REPLICATE, board
from bench.tracks.response import metrics

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
        name: A word as a board prints it, or a registered metric's name.
        folders: Leaderboards folders whose boards give floors and replicates.

    Raises:
        BenchError: Neither a word nor a metric.
    """
    if found := sentences(name):
        word, text = found
        said = [word, *textwrap.wrap(text, 98, initial_indent="  ", subsequent_indent="  ")]
        behind = METRIC_OF.get(word)
        return [*said, f"  The metric behind it: bench explain {behind}", *_levels(behind, folders)] if behind else said
    if name not in metrics.METRICS:
        raise unknown("word or metric", name, {*WORDS, *metrics.METRICS})
    metric = metrics.get(name)
    lines = [
        name,
        f"  formula    {metric.formula}",
        f"  direction  {_DIRECTION[metric.better]}; range {metric.range[0]:g} to {metric.range[1]:g}",
        f"  chance     {_chance(metric.chance)}",
        f"  family     {metric.family or 'none'}" + ("" if metric.family else " (not part of the mean skill)"),
        f"  source     {metric.source}",
        f"  avoids     {metric.trap}",
    ]
    return lines + _levels(name, folders)


def _chance(chance: object) -> str:
    if chance is None:
        return "none"
    return f"{chance:g}" if isinstance(chance, (int, float)) else "depends on the condition"


def _levels(name: str, folders: Sequence[Path]) -> list[str]:
    try:
        groups = leaderboard.group(leaderboard.collect(folders))
    except BenchError:
        return []  # what a metric means does not depend on whether the boards are in order
    lines = []
    for (dataset, split), items in sorted(groups.items()):
        table = board(items)
        if table.empty:
            continue
        by_model: pd.Series = table.set_index("model")[name]
        floor, replicate = (float(by_model[label]) for label in (FLOOR, REPLICATE))
        if np.isfinite(floor) or np.isfinite(replicate):
            lines.append(f"  on {dataset}, {split}: floor {_text(floor)}, replicate {_text(replicate)}")
    return lines


def _text(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "undefined"
