"""Two rows of a board against each other: the paired difference by metric and subgroup, and where they differ most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table as View
from rich.text import Text

from bench.core.console import console, seed_text
from bench.core.errors import BenchError, unknown
from bench.core.track import Track
from bench.results.difference import Comparison, Difference, no_claim
from bench.results.entries import BoardEntry
from bench.results.rows import Row, anchors, gather, share_tasks
from bench.results.tables import ALL


def pair(rows: dict[str, Row], a: str, b: str) -> list[int]:
    """Return the split seeds that two rows share.

    Raises:
        BenchError: Unknown rows, or none in common.
    """
    for name in (a, b):
        if name not in rows:
            raise unknown("row", name, rows)
    shared = sorted(set(rows[a].by_seed) & set(rows[b].by_seed))
    if not shared:
        raise BenchError(f"'{a}' and '{b}' have no split seed in common.")
    return shared


def show(items: Sequence[BoardEntry], a: str, b: str, most: int = 8) -> None:
    """Print a comparison to stderr.

    Args:
        items: Records of one track, data set and split.
        a: One row's name.
        b: The other's.
        most: How many conditions to name.

    Raises:
        BenchError: Unknown rows, one row twice, or no split seed in common.
    """
    if a == b:
        raise BenchError(f"'{a}' is compared with itself; name two rows.")
    _, rows = gather(items)
    every = gather(items, sorted({item.record.spec.split_seed for item in items}))[1]
    rows = {**every, **rows}
    seeds = pair(rows, a, b)
    share_tasks(rows, anchors(rows, seeds))
    compared, track = Comparison(rows, seeds), rows[a].track
    for name in (a, b):
        if name not in compared.rows:
            raise BenchError(f"'{name}' has no values by unit, so nothing can be paired. Run it again.")
    first = rows[a].records[0].spec
    console.print()
    console.print(
        Text(f"{a} less {b} | {first.dataset} | {first.split} | {seed_text(seeds)} | paired by condition", style="bold")
    )
    view = View(box=None, pad_edge=False, header_style="bold")
    for title in ("metric", "scope"):
        view.add_column(title, no_wrap=True)
    for title in ("difference [95% CI]", "p", "Holm", "n", ""):
        view.add_column(title, justify="right" if title in ("p", "Holm", "n") else "left")
    scopes = [ALL, *sorted(set(rows[a].by_seed[seeds[0]][0].values.conditions) - {ALL})]
    for scope in scopes:
        for metric in (track.families.values() or (track.primary,)) if scope == ALL else (track.primary,):
            found = compared.difference(a, b, scope, metric)
            view.add_row(metric, scope, *_cells(track, found, a, b))
    console.print(view)
    gaps = compared.by_condition(a, b, track.primary)
    names = sorted({c for seed in seeds for c in rows[a].by_seed[seed][0].values.conditions[ALL]})
    ordered = sorted(gaps, key=lambda i: -abs(gaps[i]))[:most]
    listed = ", ".join(f"{names[i]} {gaps[i]:+.2f}" for i in ordered)
    console.print(Text(f"They differ most, in {track.primary}, on: {listed}."))
    if reason := no_claim([rows[a], rows[b]]):
        console.print(Text(f"No claim: {reason}.", style="yellow"))
    console.print()


def _cells(track: Track, found: Difference, a: str, b: str) -> tuple[str, ...]:
    if not np.isfinite(found.mean):
        return "undefined", "-", "-", str(found.n), ""
    bounds = f" [{found.low:+.3f}, {found.high:+.3f}]" if np.isfinite(found.low) else " (no interval)"
    winner = ""
    if found.clear:
        higher = track.metrics[found.metric].better != "low"
        winner = f"{a if (found.mean > 0) == higher else b} is better"
    return f"{found.mean:+.3f}{bounds}", _probability(found.p), _probability(found.p_holm), str(found.n), winner


def _probability(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)
