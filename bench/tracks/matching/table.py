"""The board of profiles as people read it: a part per task and group, rows with intervals, and what is lacking."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from bench.core.console import answer, console
from bench.tracks.matching.metrics import PRIMARY
from bench.tracks.matching.track import TRACK

#: In which order tasks are shown.
_ORDER = ("replicability", "target", "cross")


def layout(table: pd.DataFrame) -> Table:
    """Lay the rows of one task and group out.

    Args:
        table: From :func:`bench.results.board.board`, one split.
    """
    view = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    view.add_column("rank", justify="right")
    view.add_column("profiles", no_wrap=True, max_width=40)
    for column in TRACK.columns:
        view.add_column(column.title, justify="right", no_wrap=True)
    view.add_column("status", no_wrap=True)
    for row in table.to_dict("records"):
        view.add_row(
            _rank(row),
            Text(str(row["model"])),
            *(_cell(row, column.metric) for column in TRACK.columns),
            "" if pd.isna(row["status"]) else str(row["status"]),
            style="dim" if row["kind"] == "control" else None,
        )
    return view


def _rank(row: Mapping[Hashable, Any]) -> str:
    if pd.isna(row["rank"]):
        return "-"
    return str(row["rank"]) if row["rank"] == row["rank_high"] else f"{row['rank']}-{row['rank_high']}"


def _cell(row: Mapping[Hashable, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "-"
    text = f"{row[name]:.2f}".replace("-0.00", "0.00")
    high = row.get(f"{PRIMARY}_ci_high")
    if name == PRIMARY and high is not None and not pd.isna(high):
        text += f"±{high - row[name]:.2f}"
    return text.replace("0.", ".")


def show(table: pd.DataFrame, dataset: str, seeds: Sequence[int], smoke: bool = False) -> None:
    """Print a data set's table to standard output, one part per task and group.

    Args:
        table: From :func:`bench.reports.merged.merged`: all splits.
        dataset: Its name.
        seeds: Split seeds; profiles have one.
        smoke: Whether the data are too small for any claim.
    """
    parts = dict(list(table.groupby("split", sort=True)))
    for split in sorted(parts, key=lambda name: (_ORDER.index(str(name).split(".")[0]), str(name))):
        part = parts[split]
        n = part["n_conditions"].max()
        labels = "nothing to be asked for" if pd.isna(n) or not n else f"{n:.0f} labels"
        answer.print(Text(f"{dataset} | {str(split).replace('.', ' ')} | {labels}", style="bold"))
        answer.print(layout(part))
    console.print(Text(TRACK.legend, style="dim"))
    if smoke:
        console.print(Text("Smoke data: a trial of the plumbing, no claim.", style="yellow"))
