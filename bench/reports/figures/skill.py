"""Mean skill of every row with its interval, over all conditions and by subgroup."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.reports.figures.data import FigureData
from bench.reports.figures.style import BLUE, GREEN, GREY, LINES, VERMILLION, finish
from bench.results.board import CEILING, FLOOR
from bench.results.tables import ALL

STEM = "skill"
_WIDEST = (-2.0, 2.5)


def table(found: FigureData) -> pd.DataFrame:
    """Take mean skill from the boards: scope, label, skill, low, high; null skill is NaN."""
    return pd.DataFrame(
        [
            {
                "scope": scope,
                "label": label,
                "skill": level["skill"],
                "low": level["skill_ci_low"],
                "high": level["skill_ci_high"],
                "n": int(found.boards[scope]["n_conditions"].max()),
            }
            for scope in (ALL, *found.subgroups)
            for label in found.rows
            if label in set(found.boards[scope]["model"])
            for level in [found.level(scope, label)]
        ]
    )


def chart(found: FigureData, drawn: pd.DataFrame) -> Any:
    """Draw one panel per scope, one line per row."""
    import altair as alt

    bounds = drawn[["skill", "low", "high"]]
    low = max(_WIDEST[0], min(-0.25, float(bounds.min().min()) - 0.05))
    high = min(_WIDEST[1], max(1.15, float(bounds.max().max()) + 0.05))
    halves = [step / 2 for step in range(-4, 6) if low <= step / 2 <= high]
    cut = (drawn["low"] < low) | (drawn["high"] > high)
    frame = drawn.assign(
        name=drawn["label"].map(found.wide),
        kind="model",
        low=drawn["low"].clip(low),
        high=drawn["high"].clip(None, high),
    )
    frame["panel"] = frame["scope"] + "\nn = " + frame["n"].astype(str)
    panels = list(dict.fromkeys(frame["panel"]))
    floor, ceiling = FLOOR, CEILING
    lines = pd.DataFrame(
        [{"panel": p, "kind": "line", "bar": b, "at": at} for p in panels for b, at in ((floor, 0.0), (ceiling, 1.0))]
    )
    order = [found.wide[label] for label in found.rows]
    base = alt.Chart()
    x = alt.X(
        "skill:Q",
        title="mean skill",
        scale=alt.Scale(domain=[low, high], nice=False),
        axis=alt.Axis(values=halves, format=".1f"),
    )
    y = alt.Y("name:N", title=None, scale=alt.Scale(domain=order), axis=alt.Axis(labelExpr=LINES, grid=True))
    rows = base.transform_filter("datum.kind == 'model'")
    known = rows.transform_filter("isValid(datum.skill)")
    bars = alt.Scale(domain=[floor, ceiling], range=[VERMILLION, GREEN])
    dashes = alt.Scale(domain=[floor, ceiling], range=[[6, 3], [2, 2]])
    layers = alt.layer(
        base.transform_filter("datum.kind == 'line'")
        .mark_rule(strokeWidth=2)
        .encode(
            x=alt.X("at:Q"),
            color=alt.Color("bar:N", scale=bars, title=None),
            strokeDash=alt.StrokeDash("bar:N", scale=dashes, title=None),
        ),
        known.mark_rule(strokeWidth=2, color=BLUE).encode(x=alt.X("low:Q"), x2="high:Q", y=y),
        known.mark_point(filled=True, size=70, color=BLUE, opacity=1).encode(x=x, y=y),
        rows.transform_filter("!isValid(datum.skill)")
        .mark_text(fontSize=12, fontStyle="italic", color=GREY)
        .encode(x=alt.datum(0.5), y=y, text=alt.value("null")),
    )
    tall = max(name.count("\n") + 1 for name in order)
    width = max(150, 480 // len(panels))
    read = (
        f"Look first at 'all'. 0 = {found.track.floor_text}, 1 = {found.track.ceiling_text}; "
        "bars are 95% intervals; n counts conditions over all seeds."
    )
    if frame["skill"].isna().any():
        read += (
            " null: no skill can be told, too few different conditions or a replicate that is not clear of the floor."
        )
    if found.nulls:
        read += f" For 'all': {found.nulls[0].lower()}{found.nulls[1:]}"
    if cut.any():
        read += " Intervals are cut at the edge."
    facets = layers.properties(width=width, height=alt.Step(max(24, 15 * tall + 9))).facet(
        data=pd.concat([frame, lines], ignore_index=True),
        column=alt.Column("panel:N", title=None, sort=panels, header=alt.Header(labelExpr=LINES)),
        spacing=14,
    )
    return finish(facets, found, "Skill by model and subgroup", read, 150 + width * len(panels))
