"""The board of known latents as people read it: rows with intervals over data seeds, and what may be claimed."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from bench.core.console import answer, console
from bench.results.records import NO_CLAIM
from bench.tracks.identifiability.claim import AGAINST, MARGIN
from bench.tracks.identifiability.metrics import PRIMARY
from bench.tracks.identifiability.track import TRACK


def show(table: pd.DataFrame, dataset: str, seeds: Sequence[int], smoke: bool = False, against: str = AGAINST) -> None:
    """Print a data set's board to standard output, what to distrust to standard error.

    Args:
        table: From :func:`bench.tracks.identifiability.claim.table`.
        dataset: Its name.
        seeds: Data seeds.
        smoke: Whether the data are too small for any claim.
        against: The row that others are compared with.
    """
    compared = bool((table["claim"] != "").any())
    answer.print(Text(f"{dataset} | cells of known latents | {len(set(seeds))} data seeds", style="bold"))
    answer.print(_layout(table, compared))
    said = dict.fromkeys((row["model"], word) for row in table.to_dict("records") for word in _words(row["note"]))
    for model, word in said:
        if not word.startswith(NO_CLAIM):
            console.print(Text(f"{model}: {word}", style="yellow"))
    if none := next((word for _, word in said if word.startswith(NO_CLAIM)), ""):
        answer.print(Text(none))
    elif compared:
        console.print(Text(f"above: MCC less that of {against}, within each data seed.", style="dim"))
    console.print(Text(TRACK.legend, style="dim"))
    if smoke:
        console.print(Text("Smoke data: a trial of the plumbing, no claim.", style="yellow"))


def checked(table: pd.DataFrame, dataset: str) -> list[str]:
    """What a data set shows of the theory's assumptions, in lines.

    Args:
        table: From :func:`bench.tracks.identifiability.assumptions.check`.
        dataset: Its name.
    """
    width = int(table["assumption"].str.len().max())
    return [
        f"{dataset}: what the theory of identifiability assumes, measured on expression",
        *(
            f"  {row['assumption']:<{width}}  {number(row['value'], 3):>8}  {row['meaning']}"
            for row in table.to_dict("records")
        ),
    ]


def _layout(table: pd.DataFrame, compared: bool) -> Table:
    shown = [column for column in TRACK.columns if not column.optional or table[column.metric].notna().any()]
    view = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    view.add_column("row", max_width=33, overflow="fold")
    for column in shown:
        view.add_column(column.title, justify="right", no_wrap=True)
    if compared:
        view.add_column(f"above [95%]: by {number(MARGIN)}?", no_wrap=True)
    for row in table.to_dict("records"):
        cells = [_level(row, column.metric) for column in shown]
        extra = [f"{_interval(row, 'above')} {row['claim']}".strip()] if compared else []
        view.add_row(Text(str(row["model"])), *cells, *extra, style=None if row["kind"] == "model" else "dim")
    return view


def _words(note: str) -> list[str]:
    return [word for word in note.split("; ") if word]


def _level(row: Mapping[Hashable, Any], name: str) -> str:
    text = number(row[name])
    high = row[f"{name}_ci_high"]
    if name == PRIMARY and not pd.isna(high):
        text += f"±{number(high - row[name])}"
    return text


def _interval(row: Mapping[Hashable, Any], name: str) -> str:
    if pd.isna(row[name]):
        return ""
    if pd.isna(row[f"{name}_ci_low"]):
        return number(row[name])
    return f"{number(row[name])} [{number(row[f'{name}_ci_low'])}, {number(row[f'{name}_ci_high'])}]"


def number(value: float, digits: int = 2) -> str:
    """A number as boards show it: no 0 before the point, none after it where it is a count; - where it is undefined."""
    if math.isnan(value):
        return "-"
    text = f"{value:.0f}" if value == round(value) and abs(value) >= 2 else f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
