"""MCC within conditions along what makes latents harder to identify: noise, few perturbations, dense effects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bench.reports.figures.style import FORMATS, GREY, PALETTE, SHAPES, render, titled, write

STEM = "curves"
_WIDTH, _HEIGHT = 230, 260
#: Names of the legend side by side; shapes that can be told apart on a line.
_LEGEND, _POINTS = 5, tuple(shape for shape in SHAPES if shape != "stroke")
#: What each parameter of a generator is called on its panel.
AXES = {
    "noise": "noise of a gene in a cell (SD, log)",
    "perturbations": "perturbations",
    "hits": "latents that a perturbation hits",
}


def draw_curves(table: pd.DataFrame, data: str, out: Path) -> list[Path]:
    """Draw a panel for each axis, a line for each row.

    Args:
        table: Columns ``axis`` (of :data:`AXES`), ``value``, ``model``, ``kind``, ``mcc_within``,
            ``mcc_within_ci_low`` and ``_ci_high``, ``n_seeds``.
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

    rows = _marked(table)
    panels = [_panel(table[table["axis"] == axis], axis, rows) for axis in AXES if axis in set(table["axis"])]
    whole = alt.hconcat(*panels)
    seeds = int(table["n_seeds"].max())
    read = [
        "1 = the true latents in any order and scale, 0 = noise. Grey: no methods; true_regression: what can be read "
        "where the truth is told; random_rotation: all of the information, no axis. Vertical: t intervals over "
        "data seeds."
    ]
    title = ("MCC within conditions", f"{data}, {seeds} data seeds")
    return titled(whole, title, read, len(panels) * (_WIDTH + 60))


def _marked(table: pd.DataFrame) -> pd.DataFrame:
    """A colour and a shape for each row, no two alike: the best first, and grey what is no method."""
    best = table.groupby("model")["mcc_within"].mean().sort_values(ascending=False, kind="stable")
    methods = set(table.loc[table["kind"] == "model", "model"])
    rows = pd.DataFrame({"model": best.index, "method": [name in methods for name in best.index]})
    place = rows.groupby("method").cumcount()
    # There are fewer shapes than colours, so that a colour that comes again has another shape.
    colours = [PALETTE[i % len(PALETTE)] if method else GREY for i, method in zip(place, rows["method"], strict=True)]
    return rows.assign(colour=colours, shape=[_POINTS[i % len(_POINTS)] for i in place])


def _panel(part: pd.DataFrame, axis: str, rows: pd.DataFrame) -> Any:
    import altair as alt

    frame = part.assign(
        place=part["value"].map("{:g}".format),
        low=part["mcc_within_ci_low"].clip(lower=-0.1),
        high=part["mcc_within_ci_high"].clip(upper=1.0),
    )[["place", "value", "model", "mcc_within", "low", "high"]]
    levels = list(dict.fromkeys(frame.sort_values("value")["place"]))
    x = alt.X("place:N", title=AXES[axis], sort=levels, axis=alt.Axis(labelAngle=0))
    y = alt.Y("mcc_within:Q", title="MCC within conditions", scale=alt.Scale(domain=[-0.1, 1.0]))
    order = rows["model"].tolist()
    look: dict[str, Any] = {"title": None, "sort": order, "legend": alt.Legend(columns=_LEGEND, symbolOpacity=1)}
    colour = alt.Color("model:N", scale=alt.Scale(domain=order, range=rows["colour"].tolist()), **look)
    shape = alt.Shape("model:N", scale=alt.Scale(domain=order, range=rows["shape"].tolist()), **look)
    base = alt.Chart(frame).encode(x=x, color=colour)
    return alt.layer(
        base.mark_line(opacity=0.6).encode(y=y, order="value:Q"),
        base.mark_point(filled=True, size=55).encode(y=y, shape=shape),
        base.transform_filter("isValid(datum.low)").mark_rule(opacity=0.6).encode(y=alt.Y("low:Q"), y2="high:Q"),
    ).properties(width=_WIDTH, height=_HEIGHT)
