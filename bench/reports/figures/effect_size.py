"""Calibration of effect size: predicted over true shift, against how strong an effect is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.reports.figures.data import FigureData
from bench.reports.figures.style import BLACK, BLUE, GREY, LINES, ORANGE, PURPLE, columns, finish

STEM = "effect_size"
METRIC = "shift_log_ratio"
_EDGES = (0.09, 11.0)  # just outside of what the metric is clipped to
#: Title, colour and shape of a tertile.
_LOOK = {
    "effect_low": ("weakest third", BLUE, "circle"),
    "effect_mid": ("middle third", ORANGE, "square"),
    "effect_high": ("strongest third", PURPLE, "triangle-up"),
    "": ("condition", BLUE, "circle"),
}


def table(found: FigureData) -> pd.DataFrame:
    """Points and tertile means: label, kind, condition, seed, effect, strength, ratio, low, high.

    ``ratio`` is predicted over true size (1 is right), ``strength`` the replicate's Pearson delta. A mean is the
    geometric one that the board of that tertile holds, at the tertile's mean strength.
    """
    if METRIC not in found.track.metrics:
        return pd.DataFrame()
    frames = []
    for label in found.rows:
        sizes = found.points(label, METRIC, ("value",))
        strength = found.points(label, found.track.primary, ("half_replicate",))
        sizes["strength"], sizes["ratio"], sizes["kind"] = strength["half_replicate"], np.exp(sizes["value"]), "point"
        sizes = sizes.drop(columns="value").dropna(subset=["strength", "ratio"])
        frames.append(sizes)
        for scope in found.tertiles:
            inside = sizes[sizes["effect"] == scope]
            if len(inside):
                level = found.level(scope, label)
                mean = {name: np.exp(level[f"{METRIC}{end}"]) for name, end in _ENDS.items()}
                line = {"label": label, "kind": "mean", "effect": scope, "strength": inside["strength"].mean(), **mean}
                frames.append(pd.DataFrame([line]))
    return pd.concat(frames, ignore_index=True)


_ENDS = {"ratio": "", "low": "_ci_low", "high": "_ci_high"}


def chart(found: FigureData, drawn: pd.DataFrame) -> Any:
    """Draw one panel per row, on a log scale."""
    import altair as alt

    names = [found.names[label] for label in found.rows if label in set(drawn["label"])]
    frame = drawn.assign(name=drawn["label"].map(found.names))
    if found.tertiles:
        frame = frame.assign(low=frame["low"].clip(_EDGES[0]), high=frame["high"].clip(None, _EDGES[1]))
    effects = [name for name in _LOOK if name in set(frame["effect"].fillna(""))]
    titles, colors, shapes = (list(part) for part in zip(*(_LOOK[name] for name in effects), strict=True))
    frame["third"] = frame["effect"].fillna("").map({name: _LOOK[name][0] for name in effects})
    lines = pd.DataFrame({"name": names, "kind": "line", "ratio": 1.0})
    color = alt.Color("third:N", title=None, scale=alt.Scale(domain=titles, range=colors))
    shape = alt.Shape("third:N", title=None, scale=alt.Scale(domain=titles, range=shapes))
    reach = [float(frame["strength"].min()) - 0.06, float(frame["strength"].max()) + 0.06]
    x = alt.X(
        "strength:Q",
        title=f"{found.track.primary} of a replicate",
        scale=alt.Scale(domain=reach, nice=False),
        axis=alt.Axis(tickCount=4),
    )
    ticks = alt.Axis(values=[0.1, 0.2, 0.5, 1, 2, 5, 10], format="~g")
    scale = alt.Scale(type="log", domain=list(_EDGES), nice=False)
    y = alt.Y("ratio:Q", title="predicted / true size", scale=scale, axis=ticks)
    base = alt.Chart()
    means = base.transform_filter("datum.kind == 'mean'")
    layers = alt.layer(
        base.transform_filter("datum.kind == 'line'")
        .mark_rule(color=GREY, strokeDash=[5, 3], strokeWidth=1.5)
        .encode(y=alt.Y("ratio:Q")),
        base.transform_filter("datum.kind == 'point'")
        .mark_point(filled=True, size=24, opacity=0.55)
        .encode(x=x, y=y, color=color, shape=shape),
        means.mark_rule(color=BLACK, strokeWidth=2).encode(x=x, y=alt.Y("low:Q"), y2="high:Q"),
        means.mark_point(filled=True, color=BLACK, shape="diamond", size=90, opacity=1).encode(x=x, y=y),
    )
    n, side = columns(len(names)), 165
    read = (
        "1 = the right size, below = too small; one point per condition and seed, cut to 0.1 to 10 (no shift: 0.1). "
        "To the right, effects that a replicate confirms."
    )
    if found.tertiles:
        read += " Black: geometric mean and 95% interval of each third of effect strength."
    facets = layers.properties(width=side, height=side + 15).facet(
        data=pd.concat([frame, lines], ignore_index=True),
        facet=alt.Facet("name:N", title=None, sort=names, header=alt.Header(labelExpr=LINES)),
        columns=n,
        spacing=16,
    )
    return finish(facets, found, "Calibration of effect size", read, 60 + n * side)
