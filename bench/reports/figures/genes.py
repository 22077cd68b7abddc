"""One run gene by gene: predicted against observed shifts, and a heat map of the differentially expressed genes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core.typing import Floats
from bench.reports.figures.style import BLUE, FORMATS, GREY, VERMILLION, columns, finish, render, write

#: Panels, genes that are named in each, and the size of the heat map: what can still be read on a page.
PANELS, NAMED = 9, 6
#: Genes that move by less than this share of the largest shift that is drawn have no name.
LOUD = 0.15
HEAT_CONDITIONS, HEAT_GENES = 30, 40
SCATTER, HEAT = "genes_scatter", "genes_heatmap"
#: Names of genes in a panel stand at least this share of its height apart.
_APART = 0.07
_KINDS = ("DE, sign right", "DE, sign wrong", "not DE")


@dataclass(frozen=True)
class Heading:
    """What stands above the figures of a run."""

    heading: str
    smoke: bool


def _conditions(table: pd.DataFrame, most: int) -> list[str]:
    """The units whose observed shifts are longest, the longest first, by name and, of several contexts, context."""
    square = table.assign(square=table["observed"] ** 2).groupby("unit", sort=False)["square"].sum()
    return square.sort_values(ascending=False, kind="stable").index[:most].tolist()


def with_units(table: pd.DataFrame) -> pd.DataFrame:
    """Add the name of each row's unit: the condition, and its context where there are several."""
    name = table["condition"].str.removesuffix("+ctrl")
    several = len(set(table["context"])) > 1
    return table.assign(unit=name + " | " + table["context"] if several else name)


def scatter_table(table: pd.DataFrame) -> pd.DataFrame:
    """Genes of the strongest conditions: unit, gene, observed, predicted, kind, and where its name stands, if any does.

    Args:
        table: All scored genes of a run, from :func:`bench.runner.genes.genes_of`.
    """
    rows = with_units(table)
    chosen = _conditions(rows, PANELS)
    rows = rows[rows["unit"].isin(chosen)].reset_index(drop=True)
    kind = np.where(~rows["de"], _KINDS[2], np.where(rows["sign_right"], _KINDS[0], _KINDS[1]))
    rows = rows.assign(kind=kind, label="", label_y=np.nan)
    reach = float(np.abs(rows[["observed", "predicted"]].to_numpy()).max(initial=1e-6))
    for unit in chosen:
        mine = rows.index[rows["unit"] == unit]
        size = rows.loc[mine, "observed"].abs().to_numpy()
        order = np.argsort(-size, kind="stable")[:NAMED]
        loud = mine[order[size[order] >= LOUD * reach]]
        rows.loc[loud, "label"] = rows.loc[loud, "gene"]
        for side in (rows["observed"] >= 0, rows["observed"] < 0):  # names of one side may stand in each other's way
            here = loud[side[loud].to_numpy()]
            rows.loc[here, "label_y"] = spread(rows.loc[here, "predicted"].to_numpy(), 2 * _APART * reach)
    return rows[["unit", "gene", "observed", "predicted", "kind", "label", "label_y"]]


def spread(values: Floats, apart: float) -> Floats:
    """Move values as far as they must for each to be this far from the next, around where they were.

    Example:
        >>> spread(np.array([0.0, 0.1, 5.0]), 1.0).round(2).tolist()
        [-0.45, 0.55, 5.0]
    """
    if len(values) < 2:
        return values
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(values, kind="stable")
    steps = apart * np.arange(len(values))
    out = np.empty(len(values))
    # The nearest places in order that leave each step free: an isotonic regression of what is left without the steps.
    out[order] = isotonic_regression(values[order] - steps) + steps
    return out


def scatter_chart(drawn: pd.DataFrame, heading: Heading) -> Any:
    """Draw predicted against observed shifts, a panel per condition, the loudest genes named."""
    import altair as alt

    reach = 1.5 * float(np.abs(drawn[["observed", "predicted", "label_y"]].to_numpy(dtype=float)[:, :2]).max())
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    x = alt.X("observed:Q", title="observed shift", scale=scale, axis=alt.Axis(tickCount=4))
    y = alt.Y("predicted:Q", title="predicted shift", scale=scale, axis=alt.Axis(tickCount=4))
    units = drawn["unit"].unique().tolist()
    ends = pd.DataFrame(
        [{"unit": u, "observed": at, "predicted": at, "kind": "line"} for u in units for at in (-reach, reach)]
    )
    colours = alt.Scale(domain=list(_KINDS), range=[BLUE, VERMILLION, "#c4c4c4"])
    base = alt.Chart()
    sides: tuple[tuple[str, Any, int], ...] = ((">=", "left", 5), ("<", "right", -5))
    name: dict[str, Any] = {"fontSize": 9, "fontStyle": "italic", "color": "#222222"}
    layers = alt.layer(
        base.transform_filter("datum.kind == 'line'").mark_line(color=GREY, strokeDash=[5, 3]).encode(x=x, y=y),
        base.transform_filter("datum.kind != 'line'")
        .mark_circle(size=18, opacity=0.7)
        .encode(x=x, y=y, color=alt.Color("kind:N", title=None, scale=colours)),
        *(
            base.transform_filter(f"datum.label != '' && datum.label_y != null && datum.observed {sign} 0")
            .mark_text(align=align, dx=shift, **name)
            .encode(x=x, y=alt.Y("label_y:Q", scale=scale), text="label:N")
            for sign, align, shift in sides
        ),
    )
    n, side = columns(len(units)), 190
    facets = layers.properties(width=side, height=side).facet(
        data=pd.concat([drawn, ends], ignore_index=True),
        facet=alt.Facet("unit:N", title=None, sort=units),
        columns=min(n, 3),
        spacing=16,
    )
    read = (
        f"Each scored gene of the {len(units)} test conditions that move most; those that move most are named. "
        "On the dashed line the prediction is right; DE: significant at 5% (Benjamini-Hochberg)."
    )
    return finish(facets, heading, "Predicted against observed shift of each gene", read, 70 + min(n, 3) * side)


def heat_table(table: pd.DataFrame) -> pd.DataFrame:
    """Shifts of the surest genes of all conditions: unit, gene, what (observed or predicted), shift, de.

    Args:
        table: All scored genes of a run.
    """
    rows = with_units(table)
    rows = rows[rows["unit"].isin(_conditions(rows, HEAT_CONDITIONS))]
    sure = rows[rows["de"]] if rows["de"].any() else rows
    genes = sure.assign(z=sure["z"].abs()).groupby("gene")["z"].max().nlargest(HEAT_GENES).index
    rows = rows[rows["gene"].isin(genes)]
    parts = [
        rows[["unit", "gene", "de"]].assign(what=what, shift=rows[what].to_numpy())
        for what in ("observed", "predicted")
    ]
    return pd.concat(parts, ignore_index=True)


def ordered(matrix: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Rows and columns with like beside like: by hierarchical clustering of the observed shifts, average linkage."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    def order(values: Floats, names: list[str]) -> list[str]:
        if len(names) < 3:
            return names
        return [names[i] for i in leaves_list(linkage(values, "average", optimal_ordering=True))]

    filled = matrix.fillna(0)
    return order(filled.to_numpy(), filled.index.tolist()), order(filled.to_numpy().T, filled.columns.tolist())


def heat_chart(drawn: pd.DataFrame, heading: Heading) -> Any:
    """Draw observed and predicted shifts, conditions in rows, genes in columns; dots where a gene is DE."""
    import altair as alt

    observed = drawn[drawn["what"] == "observed"]
    units, genes = ordered(observed.pivot_table(index="unit", columns="gene", values="shift"))
    most = float(np.quantile(observed["shift"].abs(), 0.98)) or 1.0
    colour = alt.Color(
        "shift:Q",
        title="shift (log1p)",
        scale=alt.Scale(domain=[-most, 0, most], range=["#2166ac", "#f7f7f7", "#b2182b"], clamp=True),
    )
    cell = 13
    x = alt.X(
        "gene:N", sort=genes, title=None, axis=alt.Axis(labelAngle=-90, labelFontStyle="italic", labelFontSize=10)
    )
    y = alt.Y("unit:N", sort=units, title=None, axis=alt.Axis(labelFontSize=10))
    base = alt.Chart().encode(x=x, y=y)
    layers = alt.layer(
        base.mark_rect(stroke="white", strokeWidth=0.5).encode(color=colour),
        base.transform_filter("datum.de").mark_circle(size=9, color="#111111", opacity=1),
    )
    width = cell * len(genes)
    header = alt.Header(labelOrient="top", labelAnchor="start")
    beside = len(genes) <= HEAT_GENES / 2
    where: dict[str, Any] = {"column": alt.Column("what:N", title=None, header=header)} if beside else {}
    where = where or {"row": alt.Row("what:N", title=None, header=header)}
    facets = layers.properties(width=width, height=cell * len(units)).facet(data=drawn, **where)
    read = (
        f"The {len(genes)} genes with the surest change in any of the {len(units)} test conditions that move most; a "
        "dot where the gene is differentially expressed. The two halves are alike where the prediction is right; "
        "targets of a condition are left out."
    )
    return finish(
        facets, heading, "Differentially expressed genes, observed and predicted", read, 120 + width * (1 + beside)
    )


def draw(table: pd.DataFrame, heading: Heading, folder: Path) -> list[Path]:
    """Draw both figures; nothing is written before both are made.

    Args:
        table: All scored genes of a run.
        heading: What stands above.
        folder: Gets ``genes_scatter`` and ``genes_heatmap``, as PDF, SVG and PNG.
    """
    made = {
        SCATTER: render(scatter_chart(scatter_table(table), heading)),
        HEAT: render(heat_chart(heat_table(table), heading)),
    }
    paths = []
    for stem, pictures in made.items():
        for form in FORMATS:
            paths.append(folder / f"{stem}.{form}")
            write(paths[-1], pictures[form])
    return paths
