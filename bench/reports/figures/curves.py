"""MCC within conditions along what makes latents harder to identify: noise, few perturbations, dense effects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.reports.figures.style import FORMATS, PALETTE, SHAPES, render, titled, write

STEM = "curves"
_WIDTH, _HEIGHT = 230, 260
#: What each parameter of a generator is called on its panel.
AXES = {
    "noise": "noise of a gene in a cell (SD, log)",
    "perturbations": "perturbations",
    "hits": "latents that a perturbation hits",
}


def draw_curves(table: pd.DataFrame, data: str, out: Path) -> list[Path]:
    """Draw a panel for each axis, a line for each row.

    Args:
        table: Columns ``axis`` (of :data:`AXES`), ``value``, ``model``, ``mcc_within``, ``mcc_within_ci_low`` and
            ``_ci_high``, ``n_seeds``.
        data: Name of the data set.
        out: Folder for ``curves.{pdf,svg,png}``.

    Returns:
        The files.
    """
    pictures = render(chart(table, data))
    made = {out / f"{STEM}.{form}": pictures[form] for form in FORMATS}
    for path, content in made.items():
        write(path, content)
    return list(made)


def chart(table: pd.DataFrame, data: str) -> Any:
    """Make the chart."""
    import altair as alt

    order = list(table.groupby("model")["mcc_within"].mean().sort_values(ascending=False, kind="stable").index)
    panels = [_panel(table[table["axis"] == axis], axis, order) for axis in AXES if axis in set(table["axis"])]
    whole = alt.hconcat(*panels)
    seeds = int(table["n_seeds"].max())
    read = [
        "1 = the true latents in any order and scale, 0 = noise; random_rotation: all of the information and no axis. "
        "true_regression: what can be read where the truth is told. Lines: t intervals over data seeds."
    ]
    title = ("MCC within conditions", f"{data}, {seeds} data seeds")
    return titled(whole, title, read, len(panels) * (_WIDTH + 60))


def _panel(part: pd.DataFrame, axis: str, order: Sequence[str]) -> Any:
    import altair as alt

    frame = part.assign(
        place=part["value"].map("{:g}".format),
        low=part["mcc_within_ci_low"].clip(lower=-0.1),
        high=part["mcc_within_ci_high"].clip(upper=1.0),
    )[["place", "value", "model", "mcc_within", "low", "high"]]
    levels = list(dict.fromkeys(frame.sort_values("value")["place"]))
    x = alt.X("place:N", title=AXES[axis], sort=levels, axis=alt.Axis(labelAngle=0))
    y = alt.Y("mcc_within:Q", title="MCC within conditions", scale=alt.Scale(domain=[-0.1, 1.0]))
    colour = alt.Color(
        "model:N", title=None, sort=order, scale=alt.Scale(domain=order, range=list(_cycled(PALETTE, order)))
    )
    shape = alt.Shape(
        "model:N", title=None, sort=order, scale=alt.Scale(domain=order, range=list(_cycled(SHAPES, order)))
    )
    base = alt.Chart(frame).encode(x=x, color=colour)
    return alt.layer(
        base.mark_line(opacity=0.6).encode(y=y, order="value:Q"),
        base.mark_point(filled=True, size=55).encode(y=y, shape=shape),
        base.transform_filter("isValid(datum.low)").mark_rule(opacity=0.6).encode(y=alt.Y("low:Q"), y2="high:Q"),
    ).properties(width=_WIDTH, height=_HEIGHT)


def _cycled(options: Sequence[str], names: Sequence[str]) -> list[str]:
    return [options[i % len(options)] for i in range(len(names))]
