"""Picture of a plan: start, goal, and where candidates are predicted to lead; the way of the best five."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.core.typing import Floats
from bench.reports.figures.labels import place, size_of, tie
from bench.reports.figures.style import BLACK, BLUE, GREY, VERMILLION, titled

#: Candidates whose way is drawn.
WAYS = 5
#: Size of the picture and of its names in pixels, of the points that are named, and letters of a name at most.
WIDTH, HEIGHT, LETTERS, RADIUS, LONGEST = 520, 380, 12, 6.0, 32
#: A name that is farther from its point, in pixels, is tied to it by a line.
TIED = 14.0
#: Room around what is drawn, as a share of it: names of start and goal must not lie on the axes.
_MARGIN = 0.08


def table(start: Floats, goal: Floats, best: Floats, others: Floats, ranked: pd.DataFrame) -> pd.DataFrame:
    """Project states on a plane: across, the way from start to goal; up, where candidates differ most beside it.

    Args:
        start: Mean of the start ``[G]``.
        goal: Mean of the goal ``[G]``.
        best: Predicted outcomes of the table's rows ``[n, G]``.
        others: Of further candidates ``[m, G]``.
        ranked: From :func:`bench.runner.planner.plan`; rows without a prediction are last and left out.

    Returns:
        ``x`` (how far along the straight way from start, 0, to goal, 1: not the table's ``share``, by which what is
        beside the way counts too), ``y`` (log1p units), ``kind`` (``start``, ``goal``, ``best``, ``other``), ``name``.
    """
    way = goal - start
    length = float(np.linalg.norm(way))
    shifts = np.concatenate([best, others]) - start
    along = shifts @ way / length**2
    beside = shifts - along[:, None] * way
    # Start and goal lie on the axis itself, whatever the second direction is.
    axis = np.linalg.svd(beside, full_matrices=False)[2][0] if len(beside) else np.zeros_like(way)
    frame = pd.DataFrame({"x": along, "y": beside @ axis})
    frame["kind"] = ["best"] * len(best) + ["other"] * len(others)
    frame["name"] = [*_names(ranked.head(len(best))), *[""] * len(others)]
    ends = pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 0.0], "kind": ["start", "goal"], "name": ["start", "goal"]})
    return pd.concat([ends, frame], ignore_index=True)


def _names(ranked: pd.DataFrame) -> list[str]:
    """Names of rows, with dose and time where there are any: one compound may be there at several."""
    columns = [name for name in ("perturbation", "dose", "time") if name in ranked]
    return [" ".join(str(word) for word in words if not pd.isna(word)) for words in ranked[columns].to_numpy()]


def bounds(drawn: pd.DataFrame) -> tuple[tuple[float, float], tuple[float, float]]:
    """What the axes span: all points, and some room around them."""
    spans = []
    for name in ("x", "y"):
        low, high = float(drawn[name].min()), float(drawn[name].max())
        room = _MARGIN * ((high - low) or 1.0)
        spans.append((low - room, high + room))
    return spans[0], spans[1]


def labels(drawn: pd.DataFrame) -> pd.DataFrame:
    """Names of start, goal and the best candidates, each where it covers no other name and none of these points.

    Args:
        drawn: From :func:`table`.

    Returns:
        ``name``, ``kind``, ``x`` and ``y`` of the point, ``label_x`` and ``label_y`` of the name's centre, its
        ``width`` and ``height``, and ``tie_x`` and ``tie_y``, where a line from the point to a name that is far off
        ends; all in the units of the axes.
    """
    ends, best = drawn[drawn["kind"].isin(["start", "goal"])], drawn[drawn["kind"] == "best"].head(WAYS)
    named = pd.concat([ends, best], ignore_index=True)
    named["name"] = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in named["name"]]
    span = np.array(bounds(drawn))
    scale = np.array([WIDTH, HEIGHT]) / (span[:, 1] - span[:, 0])
    pixels = (named[["x", "y"]].to_numpy(float) - span[:, 0]) * scale
    sizes = np.array([size_of(name, LETTERS) for name in named["name"]])
    dots = (drawn[["x", "y"]].to_numpy(float) - span[:, 0]) * scale
    ways = np.linspace(pixels[0], pixels[2:], 50).reshape(-1, 2)  # of the lines, from the start to the best
    centres = place(pixels, sizes, pixels, RADIUS, (WIDTH, HEIGHT), np.concatenate([dots, ways]))
    edges = tie(pixels, centres, sizes)
    far = (np.abs(edges - pixels).max(axis=1) > TIED)[:, None]
    (x, y), (tie_x, tie_y), (width, height) = (
        (each / scale + at).T
        for each, at in ((centres, span[:, 0]), (np.where(far, edges, pixels), span[:, 0]), (sizes, 0.0))
    )
    return named.assign(label_x=x, label_y=y, tie_x=tie_x, tie_y=tie_y, width=width, height=height)


def chart(drawn: pd.DataFrame) -> Any:
    """Draw it."""
    import altair as alt

    across, up = (alt.Scale(domain=list(span), nice=False, zero=False) for span in bounds(drawn))
    x = alt.X("x:Q", title="along the way: start 0, goal 1", scale=across)
    y = alt.Y("y:Q", title="beside the way (log1p units)", scale=up)
    best = drawn[drawn["kind"] == "best"].head(WAYS)
    rest = drawn[~drawn.index.isin(best.index) & drawn["kind"].isin(["best", "other"])]
    ends, names = drawn[drawn["kind"].isin(["start", "goal"])], labels(drawn)
    to = {"x2": "x", "y2": "y"}
    lines = (
        alt.Chart(best.assign(x0=0.0, y0=0.0))
        .mark_rule(color=BLUE, opacity=0.5)
        .encode(x=alt.X("x0:Q", title=""), y="y0:Q", **to)
    )
    grey = alt.Chart(rest).mark_circle(size=18, color=GREY, opacity=0.4).encode(x=x, y=y)
    blue = alt.Chart(best).mark_circle(size=60, color=BLUE, opacity=1).encode(x=x, y=y)
    red = alt.Chart(ends).mark_point(size=110, filled=True, color=VERMILLION, shape="diamond", opacity=1)
    ties = alt.Chart(names).mark_rule(color=BLACK, opacity=0.5, strokeWidth=0.7)
    at = {"x": alt.X("label_x:Q", title=""), "y": alt.Y("label_y:Q", title="")}
    text: dict[str, Any] = {"align": "center", "baseline": "middle", "fontSize": LETTERS}
    halo = alt.Chart(names).mark_text(**text, stroke="white", strokeWidth=3, opacity=0.8)
    colour = alt.condition("datum.kind == 'best'", alt.value(BLACK), alt.value(VERMILLION))
    named = alt.Chart(names).mark_text(**text).encode(**at, text="name", color=colour)
    between = {"x": alt.X("tie_x:Q", title=""), "y": alt.Y("tie_y:Q", title="")}
    layers = grey + lines + ties.encode(**between, **to) + blue + red.encode(x=x, y=y)
    layers += halo.encode(**at, text="name") + named
    read = ["Outcomes that are predicted, not measured; lines: the five candidates that come nearest."]
    return titled(layers.properties(width=WIDTH, height=HEIGHT), ["From start to goal"], read, WIDTH)
