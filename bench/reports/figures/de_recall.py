"""DE recall over k, with the mean training shift, a replicate and chance."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from bench.core.track import Track
from bench.reports.figures.data import FigureData
from bench.reports.figures.style import BLUE, GREEN, GREY, LINES, VERMILLION, columns, finish
from bench.results.board import REPLICATE
from bench.results.tables import ALL

STEM = "de_recall"


def sizes(track: Track) -> dict[int, str]:
    """A track's recalls: metric name by k."""
    found = {name: re.fullmatch(r"de_recall@(\d+)", name) for name in track.metrics}
    return dict(sorted((int(match[1]), name) for name, match in found.items() if match))


def chance(found: FigureData) -> dict[int, float]:
    """Recall by luck, mean over conditions, by k; empty where the records do not tell.

    A prediction without any order gets the chance value of its condition (k / scored genes), so a row of which every
    condition is degenerate (``no_change``) states chance itself.
    """
    out = {}
    for k, metric in sizes(found.track).items():
        for label, row in found.everyone.items():
            levels = [entry.levels.get(metric) for entry in row.entries]
            if len(row.by_seed) == len(found.seeds) and all(e and e.n and e.n == e.n_degenerate for e in levels):
                out[k] = float(found.level(ALL, label)[metric])
                break
    return out


def table(found: FigureData) -> pd.DataFrame:
    """Take recall from the board: label, series, k, value, low, high; bars repeat under every label."""
    rows = []
    luck = chance(found)
    for label in found.rows:
        for k, metric in sizes(found.track).items():
            # What every condition would get from the mean is a fact of the task: it needs no row of its own.
            mean = found.points(label, metric, ["floor"]).groupby("seed")["floor"].mean().mean()
            rows.append({"label": label, "series": found.track.baseline, "k": k, "value": mean})
            for series, source in (("model", label), (REPLICATE, REPLICATE)):
                level = found.level(ALL, source)
                own = series == "model"
                rows.append(
                    {
                        "label": label,
                        "series": series,
                        "k": k,
                        "value": level[metric],
                        "low": level[f"{metric}_ci_low"] if own else np.nan,
                        "high": level[f"{metric}_ci_high"] if own else np.nan,
                    }
                )
            if k in luck:
                rows.append({"label": label, "series": "chance", "k": k, "value": luck[k]})
    frame = pd.DataFrame(rows, columns=["label", "series", "k", "value", "low", "high"])
    seen = frame[(frame["series"] == "model") & frame["value"].notna()]["label"]
    return frame[frame["label"].isin(seen)].dropna(subset=["value"])


def chart(found: FigureData, drawn: pd.DataFrame) -> Any:
    """Draw one panel per row, all with the same mean, replicate and chance."""
    import altair as alt

    names = [found.names[label] for label in found.rows if label in set(drawn["label"])]
    frame = drawn.assign(name=drawn["label"].map(found.names))
    look = {
        "model": (BLUE, [1, 0]),
        REPLICATE: (GREEN, [2, 2]),
        found.track.baseline: (VERMILLION, [6, 3]),
        "chance": (GREY, [1, 3]),
    }
    series = [name for name in look if name in set(frame["series"])]
    titles = {
        found.track.baseline: found.track.baseline,
        "model": "model, 95% interval",
        REPLICATE: REPLICATE,
        "chance": "chance",
    }
    frame["what"] = frame["series"].map(titles)
    shown = [titles[name] for name in series]
    ks = sorted(frame["k"].unique().tolist())
    gap = max(ks) * 0.15
    high = float(frame[["value", "high"]].max().max()) * 1.05
    legend = alt.Legend(symbolType="stroke", symbolSize=400, symbolStrokeWidth=2.5)
    color = alt.Color(
        "what:N", title=None, legend=legend, scale=alt.Scale(domain=shown, range=[look[name][0] for name in series])
    )
    dash = alt.StrokeDash(
        "what:N", title=None, legend=legend, scale=alt.Scale(domain=shown, range=[look[name][1] for name in series])
    )
    x = alt.X(
        "k:Q", title="k", scale=alt.Scale(domain=[ks[0] - gap, ks[-1] + gap], nice=False), axis=alt.Axis(values=ks)
    )
    y = alt.Y("value:Q", title="recall", scale=alt.Scale(domain=[0, high], nice=False), axis=alt.Axis(tickCount=5))
    base = alt.Chart().encode(x=x, y=y)
    own, bars = (base.transform_filter(f"datum.series {sign} 'model'") for sign in ("==", "!="))
    plain = alt.Color("what:N", legend=None)
    layers = alt.layer(  # the model last: it may lie on the mean or on chance
        bars.mark_line(strokeWidth=2).encode(color=color, strokeDash=dash),
        bars.mark_point(filled=True, size=45, opacity=1).encode(color=plain),
        own.mark_line(strokeWidth=2).encode(color=color, strokeDash=dash),
        own.mark_rule(color=BLUE, strokeWidth=2).encode(y=alt.Y("low:Q"), y2="high:Q"),
        own.mark_point(filled=True, size=45, opacity=1).encode(color=plain),
    )
    n, side = columns(len(names)), 165
    read = (
        "Share of the k strongest DE genes that a model names. A replicate, half of a condition's cells, is judged by "
        "the other half, a model by all, so it may pass it."
    )
    if "chance" not in series:
        read += " Chance is not drawn: no row of these records (no_change) states it."
    facets = layers.properties(width=side, height=side - 25).facet(
        data=frame,
        facet=alt.Facet("name:N", title=None, sort=names, header=alt.Header(labelExpr=LINES)),
        columns=n,
        spacing=16,
    )
    return finish(facets, found, "DE recall over k", read, 60 + n * side)
