"""A board as people read it: the four families first, then floors and replicate, then what to distrust."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.console import console, seed_text
from bench.leaderboard import FLOOR, REPLICATE
from bench.records import Record

_COLUMNS = {
    "pattern r": "pearson_delta",
    "identity": "discrimination",
    "size": "shift_log_ratio",
    "DE rho": "spearman_de",
    "recall@20": "de_recall@20",
    "R2": "r2_delta",
}
_LEGEND = (
    "pattern r: Pearson of predicted and true shift, the sort key. identity: .5 = cannot tell conditions apart. "
    "size: predicted/true shift, 1 is right. replicate: half of a condition's cells predicting the other half, "
    "what the data allow. Look first at whether a row beats train_mean in pattern r and .5 in identity."
)


def _number(value: float, name: str) -> str:
    if value is None or math.isnan(value):
        return "-"
    if name == "shift_log_ratio":
        return f"{math.exp(value):.2f}"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"


def heading(table: pd.DataFrame, first: Record, seeds: Sequence[int]) -> str:
    """Say what a board is about: data, split, seeds, conditions."""
    task = f"{first.spec.dataset} | {first.spec.split} | {seed_text(list(seeds))}"
    return f"{task} | {int(table['n_conditions'].max())} conditions | truth against reference controls"


def layout(table: pd.DataFrame) -> Table:
    """Lay a board out for a terminal of 100 columns.

    Args:
        table: From :func:`bench.leaderboard.board`.
    """
    view = Table(box=None, pad_edge=False, header_style="bold")
    view.add_column("rank", justify="right")
    view.add_column("model", no_wrap=True, max_width=30)
    for title in _COLUMNS:
        view.add_column(title, justify="right")
    view.add_column("fallbacks", justify="right")
    for row in table.to_dict("records"):
        missing = row["n_fallback"]
        view.add_row(
            "-" if pd.isna(row["rank"]) else str(row["rank"]),
            Text(f"{row['model']} (floor)" if row["model"] == FLOOR else str(row["model"])),
            *(_number(row[metric], metric) for metric in _COLUMNS.values()),
            "" if pd.isna(missing) else f"{missing} of {row['n_conditions']}" if missing else "0",
            style="dim" if row["model"] in (FLOOR, REPLICATE) else None,
        )
    return view


def as_text(table: pd.DataFrame) -> str:
    """Lay a board out as plain text, for documents."""
    plain = Console(width=100, file=io.StringIO(), no_color=True)
    plain.print(layout(table))
    assert isinstance(plain.file, io.StringIO)
    return "\n".join(line.rstrip() for line in plain.file.getvalue().splitlines()) + "\n"


def show(table: pd.DataFrame, found: Sequence[Record], seeds: Sequence[int]) -> None:
    """Print one board to stderr, with what a reader should look at first and what to distrust.

    Args:
        table: From :func:`bench.leaderboard.board`.
        found: Records of the same data set and split.
        seeds: The split seeds that it averages over.
    """
    console.print()
    console.print(Text(heading(table, found[0], seeds), style="bold"))
    console.print(layout(table))
    console.print(Text(_LEGEND, style="dim"))
    partial = table[table["rank"].isna() & ~table["model"].isin([FLOOR, REPLICATE])]
    if len(partial):
        names = ", ".join(f"{r['model']} ({r['n_seeds']} of {len(seeds)})" for r in partial.to_dict("records"))
        console.print(Text(f"Not ranked, some seeds missing: {names}.", style="yellow"))
    if found[0].evidence == "smoke":
        console.print(Text("Smoke data: a trial of the plumbing, too few conditions for any claim.", style="yellow"))
    for line in dict.fromkeys(w for record in found for w in record.warnings):
        console.print(Text(f"note: {line}", style="yellow"))
    console.print()
