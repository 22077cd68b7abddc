"""The part of the frozen-encoder table that is about contexts held out, as people read it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from bench.core.console import answer, console
from bench.tracks.representation.metrics import CHANCE

#: What rows are sorted by, and shown with the half width of its interval.
FIRST = "across_perturbed_area"
#: Titles of the columns and their metrics; a column without any number is not shown.
COLUMNS = {
    "treated? 2": "across_perturbed_2",
    "5": "across_perturbed_5",
    "20": "across_perturbed_20",
    "all": "across_perturbed_all",
    "area": FIRST,
    "which? 5": "across_which_5",
    "which, area": "across_which_area",
    "find 1": "identify_mrr_1",
    "find 20": "identify_mrr_20",
    "at home": "identify_mrr_20_same",
    "batch": "across_batch_area",
    "type 5": "context_5",
}
LEGEND = (
    "Contexts (cell types or lines) that no model saw treated. treated?: with 2, 5, 20 or all labels per class in each "
    "source context, are cells of the unseen context told from its own controls (balanced accuracy; area: over log2 of "
    "the labels)? which?: is the perturbation named? find 1, 20: how soon the mean shift of 1 or 20 cells finds its "
    "perturbation among those of the source contexts (MRR); at home: among halves of its own context, the ceiling. "
    "batch: can the batch or donor of controls be read? It should be at chance. type 5: cell type from 5 labels, "
    "within source contexts. No ± = too few contexts or perturbations for an interval, and no claim."
)


def number_text(value: float | None) -> str:
    """Write a number for a table: three digits; ``-`` where it is undefined."""
    if value is None or math.isnan(value):
        return "-"
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and text not in ("1.000", "-1.000") else text


def has_across(table: pd.DataFrame) -> bool:
    """Whether anything is known across contexts."""
    return FIRST in table and bool(table[FIRST].notna().any())


def layout(table: pd.DataFrame) -> Table:
    """Lay the rows of one split out for a terminal of 100 columns, best first, then references and chance."""
    shown = {title: name for title, name in COLUMNS.items() if table[name].notna().any()}
    view = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    view.add_column("encoder", no_wrap=True, max_width=26 if len(shown) < 9 else 18)
    for title in shown:
        view.add_column(title, justify="right")
    order = table.assign(reference=table["kind"] == "reference")
    rows = order.sort_values(["reference", FIRST], ascending=[True, False], kind="stable").to_dict("records")
    for row in rows:
        style = "dim" if row["kind"] == "reference" else None
        view.add_row(Text(str(row["model"])), *(_cell(row, name) for name in shown.values()), style=style)
    chances = (CHANCE.get(name) for name in shown.values())
    view.add_row("chance", *(number_text(rows[0][name]) if name else "-" for name in chances), style="dim")
    return view


def _cell(row: Mapping[Hashable, Any], name: str) -> str:
    value = number_text(row[name])
    if name != FIRST or pd.isna(row[f"{name}_ci_high"]):
        return value
    return f"{value}±{row[f'{name}_ci_high'] - row[name]:.2f}".replace("±0.", "±.")


def show(table: pd.DataFrame, heading: str) -> None:
    """Print what is known across contexts: the answer to standard output, how to read it to standard error."""
    first = table.iloc[0]
    answer.print(
        Text(
            f"{heading} | frozen encoders across contexts | learned in {first['n_source_contexts']:.3g}, asked in "
            f"{first['n_target_contexts']:.3g} held out",
            style="bold",
        )
    )
    answer.print(layout(table))
    console.print(Text(LEGEND, style="dim"))
