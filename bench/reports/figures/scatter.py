"""Every condition: a model against the mean training shift, in the metric of the pattern family."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.reports.figures.data import FigureData
from bench.reports.figures.style import GREY, LINES, PALETTE, SHAPES, columns, finish
from bench.results.tables import ALL

STEM = "scatter"


def table(found: FigureData) -> pd.DataFrame:
    """One line per row, condition and seed: label, condition, seed, subgroup, value, floor; undefined left out."""
    frames = [found.points(label, found.track.primary, ("value", "floor")) for label in found.rows]
    return pd.concat(frames, ignore_index=True).dropna(subset=["value", "floor"])


def chart(found: FigureData, drawn: pd.DataFrame) -> Any:
    """Draw one panel per row; above the diagonal the model is better."""
    import altair as alt

    # The share stands in the panel's head, where no point can hide it.
    heads = {
        label: f"{found.names[label]}\nbetter on {found.level(ALL, label)['beat_rate']:.0%}"
        for label in found.rows
        if label in set(drawn["label"])
    }
    low = float(drawn[["value", "floor"]].min().min()) - 0.05
    high = float(drawn[["value", "floor"]].max().max()) + 0.05
    ends = [{"panel": head, "kind": "line", "value": at, "floor": at} for head in heads.values() for at in (low, high)]
    points = drawn.assign(panel=drawn["label"].map(heads), kind="point")
    points["subgroup"] = points["subgroup"].fillna("other")
    groups = sorted(points["subgroup"].unique())
    scale = alt.Scale(domain=[low, high], nice=False)
    x = alt.X("floor:Q", title=found.track.baseline, scale=scale, axis=alt.Axis(tickCount=4))
    y = alt.Y("value:Q", title="model", scale=scale, axis=alt.Axis(tickCount=4))
    base = alt.Chart().encode(x=x, y=y)
    layers = alt.layer(
        base.transform_filter("datum.kind == 'line'").mark_line(color=GREY, strokeDash=[5, 3], strokeWidth=1.5),
        base.transform_filter("datum.kind == 'point'")
        .mark_point(filled=True, size=26, opacity=0.65)
        .encode(
            color=alt.Color("subgroup:N", title=None, scale=_cycle(alt, groups, PALETTE)),
            shape=alt.Shape("subgroup:N", title=None, scale=_cycle(alt, groups, SHAPES)),
        ),
    )
    n, side = columns(len(heads)), 165
    read = (
        f"{found.track.primary} of each model against {found.track.baseline}, one point per condition and seed. "
        "Above the diagonal the model is better; ties count half."
    )
    facets = layers.properties(width=side, height=side).facet(
        data=pd.concat([points, pd.DataFrame(ends)], ignore_index=True),
        facet=alt.Facet("panel:N", title=None, sort=list(heads.values()), header=alt.Header(labelExpr=LINES)),
        columns=n,
        spacing=16,
    )
    return finish(facets, found, f"Each condition: model against {found.track.baseline}", read, 60 + n * side)


def _cycle(alt: Any, groups: list[str], values: tuple[str, ...]) -> Any:
    return alt.Scale(domain=groups, range=[values[i % len(values)] for i in range(len(groups))])
