"""The frozen-encoder table as people read it: encoders, references, chance, and what to look at."""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.core.console import answer, console, seed_text
from bench.core.text import escaped
from bench.tracks.representation import across_table
from bench.tracks.representation.across_table import number_text
from bench.tracks.representation.metrics import CHANCE, PRIMARY
from bench.tracks.representation.track import TRACK


def layout(table: pd.DataFrame) -> Table:
    """Lay the rows of one split out for a terminal of 100 columns.

    Args:
        table: From :func:`bench.results.board.board`, one split.
    """
    view = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    view.add_column("rank", justify="right")
    view.add_column("encoder", no_wrap=True, max_width=18)
    for title in (*(column.title for column in TRACK.columns), "eff. rank"):
        view.add_column(title, justify="right", no_wrap=True)
    rows = table.to_dict("records")
    for row in rows:
        view.add_row(
            _rank(row),
            Text(str(row["model"])),
            *(_cell(row, column.metric) for column in TRACK.columns),
            _effective_rank(row),
            style="dim" if row["kind"] == "reference" else None,
        )
    if rows:
        chances = [CHANCE.get(column.metric) for column in TRACK.columns]
        values = [number_text(rows[-1][chance]) if chance else "-" for chance in chances]
        view.add_row("-", "chance", *values, "-", style="dim")
    return view


def _rank(row: Mapping[Hashable, Any]) -> str:
    """The places that a row shares: ``3``, or ``2-4``."""
    if pd.isna(row["rank"]):
        return "-"
    return str(row["rank"]) if row["rank"] == row["rank_high"] else f"{row['rank']}-{row['rank_high']}"


def _cell(row: Mapping[Hashable, Any], name: str) -> str:
    """A number; of the primary metric, with the half width of its interval."""
    value = number_text(row[name])
    if name != PRIMARY or pd.isna(row[f"{name}_ci_high"]):
        return value
    return f"{value}±{row[f'{name}_ci_high'] - row[name]:.2f}".replace("±0.", "±.")


def _effective_rank(row: Mapping[Hashable, Any]) -> str:
    rank = row["effective_rank"]
    return "-" if pd.isna(rank) else f"{rank:.0f} of {row['width']:.0f}"


def as_text(table: pd.DataFrame) -> str:
    """Lay one split out as plain text, for documents."""
    plain = Console(width=100, file=io.StringIO(), no_color=True)
    plain.print(layout(table))
    assert isinstance(plain.file, io.StringIO)
    return "\n".join(line.rstrip() for line in escaped(plain.file.getvalue()).splitlines()) + "\n"


def show(table: pd.DataFrame, dataset: str, seeds: Sequence[int], smoke: bool = False) -> None:
    """Print a data set's table to standard output, one part per split; to standard error what to look at first.

    Args:
        table: From :func:`bench.results.board.board`.
        dataset: Its name.
        seeds: The split seeds that it averages over.
        smoke: Whether the data are too small for any claim.
    """
    for split, part in table.groupby("split", sort=True):
        first = part.iloc[0]
        heading = f"{dataset} | {split} | {seed_text(list(seeds))}"
        across = across_table.has_across(part)
        if across:
            across_table.show(part, heading)
        if not across or part[PRIMARY].notna().any():
            answer.print(
                Text(
                    f"{heading} | frozen encoders on held-out cells | {first['n_conditions']:.0f} conditions",
                    style="bold",
                )
            )
            answer.print(layout(part))
            for line in (TRACK.legend, *TRACK.notes):
                console.print(Text(line, style="dim"))
        for line in warnings_of(part, len(seeds)):
            console.print(Text(line, style="yellow"))
        if smoke:
            console.print(Text("Smoke data: a trial of the plumbing, no claim.", style="yellow"))


def warnings_of(table: pd.DataFrame, n_seeds: int) -> list[str]:
    """List what a reader should distrust about one split's rows."""
    lines = []
    partial = table[table["n_seeds"] < n_seeds].to_dict("records")
    if partial:
        names = ", ".join(f"{row['model']} ({row['n_seeds']} of {n_seeds} seeds)" for row in partial)
        lines.append(f"Not ranked, seeds missing: {names}.")
    left_out = float(table["n_conditions_left_out"].max())
    if left_out:
        lines.append(f"{left_out:.3g} test conditions have too few cells and are left out.")
    if (table["n_batches"] == 1).all():
        lines.append("One batch: nothing across batches, no batch silhouette or probe; kNN excludes the cell only.")
    return lines
