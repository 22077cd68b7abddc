"""Figures of a track whose boards stand in one CSV for all splits: bars of each row, and boxes of its units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core.track import Track
from bench.reports.figures.data import printed
from bench.reports.figures.style import BETWEEN, BLUE, FORMATS, GREY, LINES, render, titled, write
from bench.results import leaderboard, records
from bench.results.board import board
from bench.results.entries import BoardEntry
from bench.results.tables import ALL

BARS, BOXES = "bars", "boxes"
#: Rows and splits that a figure shows, at most: those that were asked for and the best, and the first.
MAX_ROWS, MAX_SPLITS = 12, 12
_WIDTH = 260
#: Height of a row in pixels: names may take two lines. Space between panels: numbers of two axes must not touch.
_ROW, _GAP = 34, 36


def draw_levels(track: Track, folders: Sequence[Path], of: Sequence[Path], out: Path) -> list[Path]:
    """Draw the primary metric of every split that some records belong to.

    Args:
        track: Their track.
        folders: Leaderboards folders; of one run id the first folder's record wins.
        of: Paths of records, all of one data set.
        out: Folder for ``bars.{pdf,svg,png}`` and ``boxes.{...}``.

    Returns:
        The files; none where no row has values.
    """
    fresh = [records.read(path).spec for path in of]
    if not fresh:
        return []
    found = leaderboard.collect(track, folders, fresh[0].dataset)
    groups = leaderboard.group((e for e in found if e.record.spec.data_hash == fresh[0].data_hash), lambda text: None)
    splits = list(dict.fromkeys(spec.split for spec in fresh))[:MAX_SPLITS]
    items = {split: groups[fresh[0].dataset, split] for split in splits if (fresh[0].dataset, split) in groups}
    asked = list(dict.fromkeys(spec.label for spec in fresh))
    smoke = any(entry.record.evidence == "smoke" for entries in items.values() for entry in entries)
    made: dict[Path, bytes] = {}
    for stem, table, chart in ((BARS, bars_table, bars_chart), (BOXES, boxes_table, boxes_chart)):
        drawn = table(track, items, asked)
        if not drawn.empty:
            pictures = render(chart(track, drawn, fresh[0].dataset, smoke))
            made |= {out / f"{stem}.{form}": pictures[form] for form in FORMATS}
    for path, content in made.items():
        write(path, content)
    return list(made)


def bars_table(track: Track, items: dict[str, list[BoardEntry]], asked: Sequence[str] = ()) -> pd.DataFrame:
    """Level of each row and split with its interval, and what it lacks: split, label, level, low, high, status.

    Args:
        track: The track.
        items: Entries of each split.
        asked: Names of rows that are shown in any case.
    """
    lines = []
    for split, entries in items.items():
        for row in board(entries).to_dict("records"):
            if not pd.isna(row[track.primary]):
                bounds = (row[f"{track.primary}_ci_low"], row[f"{track.primary}_ci_high"])
                status = row.get("status")
                lacks = "" if status is None or pd.isna(status) else status
                lines.append((split, row["model"], row[track.primary], *bounds, lacks))
    return _shown(pd.DataFrame(lines, columns=["split", "label", "level", "low", "high", "status"]), asked)


def boxes_table(track: Track, items: dict[str, list[BoardEntry]], asked: Sequence[str] = ()) -> pd.DataFrame:
    """Value of each unit under each split seed, averaged over training seeds: split, label, level.

    Args:
        track: The track.
        items: Entries of each split.
        asked: Names of rows that are shown in any case.
    """
    column = list(track.metrics).index(track.primary)
    parts = []
    for split, entries in items.items():
        rows: dict[tuple[str, int], list[Any]] = {}
        for entry in entries:
            if entry.table is not None:
                key = entry.record.spec.label, entry.record.spec.split_seed
                rows.setdefault(key, []).append(entry.values.column(ALL, "value", column))
        for (label, _), values in rows.items():
            parts.append(pd.DataFrame({"split": split, "label": label, "level": np.mean(values, axis=0)}))
    return _shown(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), asked)


def _shown(table: pd.DataFrame, asked: Sequence[str]) -> pd.DataFrame:
    """The rows that were asked for, and the best by the mean over splits; in ``attrs["rows"]`` the number of all."""
    if table.empty:
        return table
    order = table.groupby("label")["level"].mean().sort_values(ascending=False, kind="stable").index.tolist()
    own = [name for name in order if name in set(asked)]
    best = [name for name in order if name not in own][: max(MAX_ROWS - len(own), 0)]
    kept = [name for name in order if name in {*own, *best}]
    found = table[table["label"].isin(kept)].assign(
        label=lambda t: pd.Categorical(t["label"], categories=kept, ordered=True)
    )
    found.attrs["rows"] = len(order)
    return found


def _title(track: Track) -> str:
    """What people call the primary metric."""
    return next((column.title for column in track.columns if column.metric == track.primary), track.primary)


def _frame(drawn: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Names that fit, and the order of rows."""
    names = printed({label: [] for label in drawn["label"].cat.categories}, width=42, lines=2)
    frame = drawn.assign(
        name=drawn["label"].astype(str).map(names),
        panel=drawn["split"].str.replace(".", " ", regex=False),
    )
    return frame.drop(columns=["label", "split"]), list(names.values())


def _faceted(layers: Any, frame: pd.DataFrame, title: Sequence[str], what: str, smoke: bool, rows: int) -> Any:
    import altair as alt

    shown = frame["name"].nunique()

    panels = list(dict.fromkeys(frame["panel"]))
    columns = min(2, len(panels))
    faceted = layers.properties(width=_WIDTH, height=alt.Step(_ROW)).facet(
        data=frame, facet=alt.Facet("panel:N", title=None, sort=panels), columns=columns, spacing=_GAP
    )
    read = [f"{what} Rows of one panel are of the same units; panels are not compared."]
    left_out = f"{shown} of {rows} rows are shown: those of this call, and the best of the others."
    read += [left_out] if shown < rows else []
    read += ["Smoke data: a trial of the plumbing, no claim."] if smoke else []
    return titled(faceted, title, read, columns * (_WIDTH + _GAP + 130))


def _axes(track: Track, order: Sequence[str]) -> tuple[Any, Any]:
    import altair as alt

    # Room to the right of 1, where a perfect row's box would lie on the frame.
    x = alt.X("level:Q", title=_title(track), scale=alt.Scale(nice=False, padding=6))
    y = alt.Y("name:N", title=None, scale=alt.Scale(domain=list(order)), axis=alt.Axis(labelExpr=LINES, **BETWEEN))
    return x, y


def bars_chart(track: Track, drawn: pd.DataFrame, dataset: str, smoke: bool = False) -> Any:
    """Draw a bar per row, a panel per split."""
    import altair as alt

    frame, order = _frame(drawn)
    x, y = _axes(track, order)
    base = alt.Chart()
    layers = alt.layer(
        base.mark_bar(color=BLUE, opacity=0.75, height={"band": 0.7}).encode(x=x, y=y),
        base.transform_filter("isValid(datum.low)").mark_rule(color="black").encode(x=alt.X("low:Q"), x2="high:Q", y=y),
        # A level of 0 has no bar: the point says that the row was measured.
        base.mark_point(color="black", filled=True, size=22, opacity=1).encode(x=x, y=y),
        base.transform_filter("datum.status != ''")
        .mark_text(align="left", dx=6, color=GREY)
        .encode(x=x, y=y, text="status:N"),
    )
    title = (f"{_title(track)} of each row, with 95% intervals", dataset)
    what = "0 = chance, 1 = perfect; the interval is over what is looked for, such as perturbations or targets."
    return _faceted(layers, frame, title, what, smoke, drawn.attrs.get("rows", 0))


def boxes_chart(track: Track, drawn: pd.DataFrame, dataset: str, smoke: bool = False) -> Any:
    """Draw a box of each row's units, a panel per split."""
    import altair as alt

    frame, order = _frame(drawn)
    x, y = _axes(track, order)
    layers = alt.layer(
        alt.Chart()
        .mark_boxplot(
            color=BLUE, opacity=0.75, median={"color": "black", "thickness": 2}, outliers={"size": 14, "color": GREY}
        )
        .encode(x=x, y=y)
    )
    title = (f"{_title(track)} of each unit (a perturbation or target)", dataset)
    what = (
        "0 = chance, 1 = perfect. Box: the middle half and the median; lines: up to 1.5 times its width; dots: others."
    )
    return _faceted(layers, frame, title, what, smoke, drawn.attrs.get("rows", 0))
