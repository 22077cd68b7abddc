"""``bench explain METRIC``: what a number means, where it starts and ends, and which trap it avoids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.core.errors import BenchError, unknown
from bench.core.track import Track
from bench.results import leaderboard
from bench.results.board import REPLICATE, board
from bench.tracks import registry

_DIRECTION = {
    "high": "higher is better",
    "low": "lower is better",
    "one": "1 is right",
    "zero": "0 is right",
    "none": "descriptive, no direction",
}


def explain(name: str, folders: Sequence[Path]) -> list[str]:
    """Explain a metric in lines for people.

    Args:
        name: Metric name of any track.
        folders: Leaderboards folders whose boards give floors and replicates.

    Raises:
        BenchError: Unknown metric.
    """
    holders = [track for track in registry.tracks() if name in track.metrics]
    if not holders:
        raise unknown("metric", name, {metric for track in registry.tracks() for metric in track.metrics})
    metric = holders[0].metrics[name]
    lines = [
        name,
        f"  formula    {metric.formula}",
        f"  direction  {_DIRECTION[metric.better]}; range {metric.range[0]:g} to {metric.range[1]:g}",
        f"  chance     {metric.chance_text or 'none'}",
        f"  family     {metric.family or 'none'}" + ("" if metric.family else " (not part of the mean skill)"),
        f"  source     {metric.source}",
        f"  avoids     {metric.trap}",
    ]
    return lines + [line for track in holders for line in _levels(track, name, folders)]


def _levels(track: Track, name: str, folders: Sequence[Path]) -> list[str]:
    try:
        groups = leaderboard.group(leaderboard.collect(track, folders), say=lambda _: None)
    except BenchError:
        return []  # what a metric means does not depend on whether the boards are in order
    lines = []
    for (dataset, split), items in sorted(groups.items()):
        table = board(items)
        if table.empty or not {track.floor, REPLICATE} <= set(table["model"]):
            continue
        by_model: pd.Series = table.set_index("model")[name]
        floor, replicate = (float(by_model[label]) for label in (track.floor, REPLICATE))
        if np.isfinite(floor) or np.isfinite(replicate):
            lines.append(f"  on {dataset}, {split}: floor {_text(floor)}, replicate {_text(replicate)}")
    return lines


def _text(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "undefined"
