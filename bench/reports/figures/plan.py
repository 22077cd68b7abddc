"""Picture of a plan: start, goal, and where candidates are predicted to lead; the way of the best five."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.core.typing import Floats
from bench.reports.figures.style import BLACK, BLUE, GREY, VERMILLION

#: Candidates whose way is drawn.
WAYS = 5


def table(start: Floats, goal: Floats, best: Floats, others: Floats, ranked: pd.DataFrame) -> pd.DataFrame:
    """Project states on a plane: across, the way from start to goal; up, where candidates differ most beside it.

    Args:
        start: Mean of the start ``[G]``.
        goal: Mean of the goal ``[G]``.
        best: Predicted outcomes of the table's rows ``[n, G]``.
        others: Of further candidates ``[m, G]``.
        ranked: From :func:`bench.runner.planner.plan`; rows without a prediction are last and left out.

    Returns:
        ``x`` (share of the way), ``y`` (log1p units), ``kind`` (``start``, ``goal``, ``best``, ``other``), ``name``.
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
    frame["name"] = [*ranked["perturbation"].head(len(best)), *[""] * len(others)]
    ends = pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 0.0], "kind": ["start", "goal"], "name": ["start", "goal"]})
    return pd.concat([ends, frame], ignore_index=True)


def chart(drawn: pd.DataFrame) -> Any:
    """Draw it."""
    import altair as alt

    x = alt.X("x:Q", title="share of the way from start (0) to goal (1)")
    y = alt.Y("y:Q", title="beside the way (log1p units)")
    best = drawn[drawn["kind"] == "best"].head(WAYS)
    ways = best.assign(x0=0.0, y0=0.0)
    rest = drawn[~drawn.index.isin(best.index) & drawn["kind"].isin(["best", "other"])]
    ends = drawn[drawn["kind"].isin(["start", "goal"])]
    lines = (
        alt.Chart(ways).mark_rule(color=BLUE, opacity=0.5).encode(x=alt.X("x0:Q", title=""), y="y0:Q", x2="x", y2="y")
    )
    grey = alt.Chart(rest).mark_circle(size=18, color=GREY, opacity=0.4).encode(x=x, y=y)
    blue = alt.Chart(best).mark_circle(size=60, color=BLUE, opacity=1).encode(x=x, y=y)
    named = alt.Chart(best).mark_text(dx=6, dy=-6, align="left", color=BLACK).encode(x=x, y=y, text="name")
    bounds = alt.Chart(ends).mark_point(size=110, filled=True, color=VERMILLION, shape="diamond").encode(x=x, y=y)
    titles = alt.Chart(ends).mark_text(dy=16, color=VERMILLION, fontWeight="bold").encode(x=x, y=y, text="name")
    subtitle = ["Predicted outcomes of candidates; lines: the five that come nearest. Predicted, not measured."]
    title = alt.TitleParams("From start to goal", subtitle=subtitle, anchor="start")
    layers = grey + lines + blue + named + bounds + titles
    return layers.properties(width=520, height=380, title=title, padding=12, background="white")
