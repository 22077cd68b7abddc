"""The bundle's figures, from its summary alone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.audit.bundle.pdf import one_face, render_pdf
from bench.audit.bundle.summary import ITSELF
from bench.reports.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from bench.results.board import BARS

if TYPE_CHECKING:
    import altair as alt

Summary = Mapping[str, Any]
Lines = list[dict[str, Any]]

_VALUES = {"true": "holds", "false": "does not hold", "not_evaluable": "cannot be judged"}
_TITLES = {
    "pattern": "pattern: Pearson r of predicted and measured change",
    "identity": "identity: own perturbation told from others",
    "size": "size: minus the log of its ratio, 0 is right",
    "DE": "DE: responding genes found, with their sign",
}
_FROZEN = {
    "retrieval_mrr_20": "finds the other half of its condition (MRR)",
    "probe_heldout_accuracy": "a linear probe names the condition",
    "knn_purity": "nearest neighbours of the same condition",
    "silhouette_condition": "silhouette of conditions",
}
_SHUFFLED, _CHANCE = "shuffled", "shuffled labels"
_BAR_COLORS = {"floor": VERMILLION, "ceiling": GREEN, _CHANCE: VERMILLION}
_BEATS = {
    "floor": "any answer that does not know the perturbation",
    ITSELF: "itself with a part removed or changed",
}


def audit_overview(summary: Summary) -> Any:
    """What may support a claim, what was claimed, and what holds."""
    import altair as alt

    records = [
        {"board": _board(key), "status": status, "n": n}
        for key, board in summary["boards"].items()
        for status, n in board["status"].items()
    ]
    claims = [
        {"question": _wrapped(question(one["beats"]), 46), "value": _VALUES[value], "n": one[value]}
        for one in summary["questions"]
        for value in _VALUES
    ]
    found = [
        {
            "claim": _wrapped(one["name"], 46),
            "value": _VALUES[one["value"]],
            "said": f"{_VALUES[one['value']]}; expected: {_VALUES[one['expected']]}",
        }
        for one in summary["findings"]
    ]
    status = {"may support a claim": GREEN, "too few conditions": GREY, "provenance warning": VERMILLION}
    value = {"holds": BLUE, "does not hold": ORANGE, "cannot be judged": GREY}
    parts = [
        _bars(records, "board", "status", status, "Records by board, and whether they may support a claim", "records"),
        _bars(claims, "question", "value", value, "Claims that a row beats ...", "claims"),
        _marks(found, value, "Claims about the boards as a whole"),
    ]
    return one_face(alt.vconcat(*parts, spacing=34).resolve_scale(color="independent"))


def _bars(lines: Lines, y: str, by: str, colors: Mapping[str, str], title: str, what: str) -> alt.LayerChart:
    import altair as alt

    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    order = list(dict.fromkeys(line[y] for line in lines))
    place = {name: i for i, name in enumerate(colors)}
    data = alt.Data(values=[{**line, "order": place[line[by]]} for line in lines if line["n"]])
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


def _marks(lines: Lines, colors: Mapping[str, str], title: str) -> alt.LayerChart:
    import altair as alt

    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    order = [line["claim"] for line in lines]
    y = alt.Y("claim:N", title=None, sort=order, axis=alt.Axis(labelExpr=r"split(datum.label, '\n')"))
    base = alt.Chart(alt.Data(values=lines)).encode(y=y)
    dots = base.mark_point(filled=True, size=120, opacity=1).encode(
        x=alt.value(14), color=alt.Color("value:N", title=None, scale=scale)
    )
    said = base.mark_text(align="left", fontSize=12).encode(x=alt.value(28), text="said:N")
    return alt.layer(dots, said).properties(width=460, height=alt.Step(38), title=title)


def question(beats: Sequence[str]) -> str:
    """What a claim says has to be beaten, in words."""
    return ", ".join(_BEATS.get(name, name) for name in beats)


def heldout_metrics(summary: Summary) -> Any | None:
    """Every plain row of the boards that may carry claims, by family, with floor and ceiling."""
    import altair as alt

    boards = {key: b for key, b in summary["boards"].items() if b["families"] and b["evidence"] == "full"}
    parts = [_families(key, board) for key, board in boards.items()]
    title = alt.TitleParams(
        "Held-out perturbations and contexts: boards that may carry claims",
        subtitle=[
            "Points are means over conditions with their intervals; rows in the order of the board, best first.",
            "Floor: the best answer that does not know the perturbation. Ceiling: what these cells allow at best.",
        ],
    )
    return one_face(alt.vconcat(*parts, spacing=40).properties(title=title)) if parts else None


def _families(key: str, board: Summary) -> alt.HConcatChart:
    import altair as alt

    names = [name for name in board["rows"] if "[" not in name and name not in BARS]
    charts = []
    for family, metric in board["families"].items():
        lines = _levels(board, metric, names)
        bars = [
            {"bar": bar, "at": board["rows"][bar][metric]}
            for bar in ("floor", "ceiling")
            if board["rows"].get(bar, {}).get(metric) is not None
        ]
        charts.append(
            _forest(lines, bars, names, "\n".join(textwrap.wrap(_TITLES.get(family, family), 30)), not charts)
        )
    title = f"{_board(key)}: {board['n_conditions']} conditions over {board['seeds']} splits"
    return alt.hconcat(*charts, spacing=16, title=alt.TitleParams(title, anchor="start"))


def _wrapped(text: str, width: int = 30) -> str:
    return "\n".join(textwrap.wrap(text, width))


def _levels(board: Summary, metric: str, names: Sequence[str]) -> Lines:
    rows = board["rows"]
    fields = {"value": metric, "low": f"{metric}_ci_low", "high": f"{metric}_ci_high"}
    lines = [{"row": name, **{k: rows[name].get(column) for k, column in fields.items()}} for name in names]
    return [line for line in lines if line["value"] is not None]


def _forest(lines: Lines, bars: Lines, names: Sequence[str], title: str, labelled: bool) -> alt.LayerChart:
    import altair as alt

    axis = alt.Axis(labels=labelled, ticks=labelled, grid=True)
    y = alt.Y("row:N", title=None, scale=alt.Scale(domain=list(names)), axis=axis)
    x = alt.X("value:Q", title=title.split("\n"), scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4))
    base = alt.Chart(alt.Data(values=lines))
    layers = [
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2, color=BLUE)
        .encode(x=alt.X("low:Q"), x2="high:Q", y=y),
        base.mark_point(filled=True, size=50, color=BLUE, opacity=1).encode(x=x, y=y),
    ]
    if bars:
        scale = alt.Scale(domain=[bar["bar"] for bar in bars], range=[_BAR_COLORS[bar["bar"]] for bar in bars])
        rule = alt.Chart(alt.Data(values=bars)).mark_rule(strokeWidth=2, strokeDash=[5, 3])
        layers.insert(0, rule.encode(x=alt.X("at:Q"), color=alt.Color("bar:N", scale=scale, title=None)))
    return alt.layer(*layers).properties(width=180, height=alt.Step(18))


def frozen_metrics(summary: Summary) -> Any | None:
    """What frozen encoders tell of held-out cells, boards without families, with chance where there is one."""
    import altair as alt

    boards = {key: board for key, board in summary["boards"].items() if not board["families"]}
    parts = []
    for key, board in boards.items():
        names = [name for name in board["rows"] if name not in BARS]
        metrics = [name for name in _FROZEN if name in board["metrics"]] or board["metrics"][:4]
        charts = [
            _forest(
                _levels(board, metric, names),
                _chance(board, metric),
                names,
                _wrapped(_FROZEN.get(metric, metric)),
                i == 0,
            )
            for i, metric in enumerate(metrics)
        ]
        small = ", too few conditions for any claim" if board["evidence"] == "smoke" else ""
        title = f"{_board(key)}, frozen encoders{small}"
        parts.append(alt.hconcat(*charts, spacing=16, title=alt.TitleParams(title, anchor="start")))
    return one_face(alt.vconcat(*parts, spacing=40)) if parts else None


def _chance(board: Summary, metric: str) -> Lines:
    """What luck gives: the reference row of shuffled labels."""
    value = board["rows"].get(_SHUFFLED, {}).get(metric)
    return [] if value is None else [{"bar": _CHANCE, "at": value}]


def training_curves(summary: Summary) -> Any | None:
    """Where pretraining was stopped: records keep the step that was taken and its score, not the curve."""
    import altair as alt

    lines = [
        {
            **one,
            "share": one["step"] / one["steps"],
            "panel": _board(one["board"]),
            "model": one["row"].partition("[")[0],
        }
        for one in summary["training"]
        if "[" not in one["row"] and one["steps"]
    ]
    if not lines:
        return None
    models = sorted({line["model"] for line in lines})
    colors = dict(zip(models, (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION), strict=False))
    points = (
        alt.Chart()
        .mark_point(filled=True, size=70, opacity=0.75)
        .encode(
            x=alt.X("share:Q", title="step taken, as a share of all", scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("score:Q", title=["decodable part of the shifts", "that pretraining did not see"]),
            color=alt.Color("model:N", title=None, scale=alt.Scale(domain=list(colors), range=list(colors.values()))),
            shape=alt.Shape("model:N", title=None, scale=alt.Scale(domain=list(colors))),
        )
    )
    facets = points.properties(width=230, height=190).facet(
        data=alt.Data(values=lines), facet=alt.Facet("panel:N", title=None), columns=3
    )
    title = alt.TitleParams(
        "Which step of its pretraining each run took",
        subtitle=["A point is a run. Records keep this step and its score; the curves themselves are not kept."],
    )
    return one_face(facets.properties(title=title))


def _board(key: str) -> str:
    """A board's name for people.

    Example:
        >>> _board("response/simulated__doubles")
        'simulated, doubles'
    """
    track, _, name = key.partition("/")
    dataset, _, split = name.partition("__")
    return f"{dataset}, {split.replace('_', ' ')}" + ("" if track == "response" else f" ({track})")


FIGURES: dict[str, Callable[[Summary], Any | None]] = {
    "fig1_audit_overview": audit_overview,
    "fig2_heldout_metrics": heldout_metrics,
    "fig3_frozen_metrics": frozen_metrics,
    "figA1_training_curves": training_curves,
}


def draw(summary: Summary) -> dict[str, bytes]:
    """Draw every figure for which the summary holds something: PDF by name."""
    charts = {name: make(summary) for name, make in FIGURES.items()}
    return {name: render_pdf(chart) for name, chart in charts.items() if chart is not None}
