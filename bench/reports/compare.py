"""Two rows of a board against each other: the paired difference by metric and subgroup, and where they differ most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table as View
from rich.text import Text

from bench.core.conditions import written
from bench.core.console import answer, console, seed_text
from bench.core.errors import BenchError, unknown
from bench.core.track import Track
from bench.results.difference import SKILL, Comparison, Difference, no_claim
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


def _comparison(items: Sequence[BoardEntry], a: str, b: str) -> tuple[Comparison, dict[str, Row]]:
    """The rows of a board, and those that have the seeds which two of them share."""
    if a == b:
        raise BenchError(f"'{a}' is compared with itself; name two rows.")
    _, rows = gather(items)
    every = gather(items, sorted({item.record.spec.split_seed for item in items}))[1]
    rows = {**every, **rows}
    seeds = pair(rows, a, b)
    share_tasks(rows, anchors(rows, seeds))
    compared = Comparison(rows, seeds)
    for name in (a, b):
        if name not in compared.rows:
            raise BenchError(f"'{name}' has no values by unit, so nothing can be paired. Run it again.")
    return compared, rows


def _differences(compared: Comparison, a: str, b: str) -> list[Difference]:
    row = compared.rows[a]
    track = row.track
    scopes = [ALL, *sorted(set(row.by_seed[compared.seeds[0]][0].values.conditions) - {ALL})]
    whole = (SKILL, *track.families.values()) if track.families else (track.primary,)
    return [
        compared.difference(a, b, scope, metric)
        for scope in scopes
        for metric in (whole if scope == ALL else (track.primary,))
    ]


def differences(items: Sequence[BoardEntry], a: str, b: str) -> list[Difference]:
    """Compare two rows in mean skill and the metric of every family, and in the primary one within each subgroup.

    Args:
        items: Records of one track, data set and split.
        a: One row's name.
        b: The other's.

    Raises:
        BenchError: Unknown rows, one row twice, or no split seed in common.
    """
    return _differences(_comparison(items, a, b)[0], a, b)


def winner(track: Track, found: Difference, a: str, b: str) -> str:
    """Which of two rows is clearly better; empty where neither is."""
    if not found.clear:
        return ""
    low = found.metric in track.metrics and track.metrics[found.metric].better == "low"
    return a if (found.mean > 0) != low else b


def show(items: Sequence[BoardEntry], a: str, b: str, most: int = 8) -> None:
    """Print a comparison to standard output, and what to distrust of it to standard error.

    Args:
        items: Records of one track, data set and split.
        a: One row's name.
        b: The other's.
        most: How many conditions to name.

    Raises:
        BenchError: As for :func:`differences`.
    """
    compared, rows = _comparison(items, a, b)
    track, seeds = rows[a].track, compared.seeds
    first = rows[a].records[0].spec
    answer.print(
        Text(f"{a} less {b} | {first.dataset} | {first.split} | {seed_text(seeds)} | paired by condition", style="bold")
    )
    view = View(box=None, pad_edge=False, header_style="bold")
    for title in ("metric", "scope"):
        view.add_column(title, no_wrap=True)
    for title in ("difference [95% CI]", "p", "Holm", "n", ""):
        view.add_column(title, justify="right" if title in ("p", "Holm", "n") else "left")
    for found in _differences(compared, a, b):
        view.add_row(found.metric, found.scope, *_cells(track, found, a, b))
    answer.print(view)
    gaps = compared.by_condition(a, b, track.primary)
    names = sorted({c for seed in seeds for c in rows[a].by_seed[seed][0].values.conditions[ALL]})
    ordered = sorted(gaps, key=lambda i: -abs(gaps[i]))[:most]
    listed = ", ".join(f"{written(names[i])} {gaps[i]:+.2f}" for i in ordered)
    answer.print(Text(f"They differ most, in {track.primary}, on: {listed}."))
    if reason := no_claim([rows[a], rows[b]]):
        console.print(Text(f"No claim: {reason}.", style="yellow"))


def _cells(track: Track, found: Difference, a: str, b: str) -> tuple[str, ...]:
    if not np.isfinite(found.mean):
        return "undefined", "-", "-", str(found.n), ""
    bounds = f" [{found.low:+.3f}, {found.high:+.3f}]" if np.isfinite(found.low) else " (no interval)"
    better = winner(track, found, a, b)
    told = f"{better} is better" if better else ""
    return f"{found.mean:+.3f}{bounds}", _probability(found.p), _probability(found.p_holm), str(found.n), told


def _probability(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)
