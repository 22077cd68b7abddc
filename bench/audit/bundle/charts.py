"""Parts of the bundle's figures: stacked bars, marks, and rows with their intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from bench.reports.figures.style import BLUE, GREEN, VERMILLION

Lines = list[dict[str, Any]]

#: What a row of shuffled labels gives.
CHANCE = "shuffled labels"
_BAR_COLORS = {"floor": VERMILLION, "ceiling": GREEN, CHANCE: VERMILLION}


def inline(lines: Lines) -> Any:
    """Data of a chart."""
    import altair as alt

    return alt.Data(values=lines)  # type: ignore[no-untyped-call]


def stacked_bars(lines: Lines, y: str, by: str, colors: Mapping[str, str], title: str, what: str) -> Any:
    """Draw one bar per ``y``, stacked by ``by``.

    Args:
        lines: With ``y``, ``by`` and ``n``.
        y: Field that has a bar.
        by: Field that parts it.
        colors: Color of each part, in the order in which they are stacked.
        title: Above it.
        what: What is counted.
    """
    import altair as alt

    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    order = list(dict.fromkeys(line[y] for line in lines))
    place = {name: i for i, name in enumerate(colors)}
    data = inline([{**line, "order": place[line[by]]} for line in lines if line["n"]])
    base = alt.Chart(data).encode(
        y=alt.Y(f"{y}:N", title=None, sort=order, axis=alt.Axis(labelExpr=r"split(datum.label, '\n')")),
    )
    bars = base.mark_bar().encode(
        x=alt.X("n:Q", title=f"number of {what}", stack="zero", axis=alt.Axis(tickMinStep=1)),
        color=alt.Color(f"{by}:N", title=None, scale=scale),
        order="order:Q",
    )
    tall = max(name.count("\n") + 1 for name in order)
    return alt.layer(bars).properties(width=460, height=alt.Step(max(24, 16 * tall + 6)), title=title)


def marks(lines: Lines, colors: Mapping[str, str], title: str) -> Any:
    """Draw a mark and what was ``said`` beside each ``claim``, colored by its ``value``."""
    import altair as alt

    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    order = [line["claim"] for line in lines]
    y = alt.Y("claim:N", title=None, sort=order, axis=alt.Axis(labelExpr=r"split(datum.label, '\n')"))
    base = alt.Chart(inline(lines)).encode(y=y)
    dots = base.mark_point(filled=True, size=120, opacity=1).encode(
        x=alt.value(14), color=alt.Color("value:N", title=None, scale=scale)
    )
    said = base.mark_text(align="left", fontSize=12).encode(x=alt.value(28), text="said:N")
    return alt.layer(dots, said).properties(width=460, height=alt.Step(38), title=title)


def forest(lines: Lines, bars: Lines, names: Sequence[str], title: str, labelled: bool) -> Any:
    """Draw a point with its interval for each row, and lines for bars.

    Args:
        lines: ``row``, ``value`` and, where there is an interval, ``low`` and ``high``.
        bars: ``bar`` and ``at``.
        names: Rows from top to bottom.
        title: Below it.
        labelled: Whether the rows' names stand beside it.
    """
    import altair as alt

    axis = alt.Axis(labels=labelled, ticks=labelled, grid=True)
    y = alt.Y("row:N", title=None, scale=alt.Scale(domain=list(names)), axis=axis)
    x = alt.X("value:Q", title=title.split("\n"), scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4))
    base = alt.Chart(inline(lines))
    layers = [
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2, color=BLUE)
        .encode(x=alt.X("low:Q"), x2="high:Q", y=y),
        base.mark_point(filled=True, size=50, color=BLUE, opacity=1).encode(x=x, y=y),
    ]
    if bars:
        scale = alt.Scale(domain=[bar["bar"] for bar in bars], range=[_BAR_COLORS[bar["bar"]] for bar in bars])
        rule = alt.Chart(inline(bars)).mark_rule(strokeWidth=2, strokeDash=[5, 3])
        layers.insert(0, rule.encode(x=alt.X("at:Q"), color=alt.Color("bar:N", scale=scale, title=None)))
    return alt.layer(*layers).properties(width=180, height=alt.Step(18))


def wrapped(text: str, width: int = 30) -> str:
    """Break a text into lines."""
    return "\n".join(textwrap.wrap(text, width))
