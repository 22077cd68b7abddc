"""The bundle's figures, from its summary alone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.audit.bundle.charts import CHANCE, Lines, forest, inline, marks, stacked_bars, wrapped
from bench.audit.bundle.pdf import one_face, render_pdf
from bench.audit.bundle.verdicts import ITSELF
from bench.reports.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from bench.results.board import BARS

Summary = Mapping[str, Any]

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
_SHUFFLED = "shuffled"
_BEATS = {
    "floor": "any answer that does not know what is asked",
    ITSELF: "itself with a part removed or changed",
}


def audit_overview(summary: Summary) -> Any:
    """What may support a claim, what was claimed, and what holds."""
    import altair as alt

    records = [
        {"board": _board(summary, key), "status": status, "n": n}
        for key, board in summary["boards"].items()
        for status, n in board["status"].items()
    ]
    claims = [
        {"question": wrapped(question(one["beats"]), 46), "value": _VALUES[value], "n": one[value]}
        for one in summary["questions"]
        for value in _VALUES
    ]
    found = [
        {
            "claim": wrapped(one["name"], 46),
            "value": _VALUES[one["value"]],
            "said": f"{_VALUES[one['value']]}; expected: {_VALUES[one['expected']]}",
        }
        for one in summary["findings"]
    ]
    status = {"may support a claim": GREEN, "too few conditions": GREY, "provenance warning": VERMILLION}
    value = {"holds": BLUE, "does not hold": ORANGE, "cannot be judged": GREY}
    parts = [
        stacked_bars(records, "board", "status", status, "Records, and whether they may support a claim", "records"),
        stacked_bars(claims, "question", "value", value, "Claims that a row beats ...", "claims"),
        marks(found, value, "Claims about the boards as a whole"),
    ]
    return one_face(alt.vconcat(*parts, spacing=34).resolve_scale(color="independent"))


def question(beats: Sequence[str]) -> str:
    """What a claim says has to be beaten, in words."""
    return ", ".join(_BEATS.get(name, name) for name in beats)


def heldout_metrics(summary: Summary) -> Any | None:
    """Every plain row of the boards that may carry claims, by family, with floor and ceiling."""
    import altair as alt

    boards = {key: b for key, b in summary["boards"].items() if b["families"] and b["evidence"] == "full"}
    parts = [_families(_board(summary, key), board) for key, board in boards.items()]
    title = alt.TitleParams(
        "Held-out perturbations and contexts: boards that may carry claims",
        subtitle=[
            "Points are means over conditions with their intervals; rows in the order of the board, best first.",
            "Floor: the best answer that does not know what is asked. Ceiling: what these cells allow at best.",
        ],
    )
    return one_face(alt.vconcat(*parts, spacing=40).properties(title=title)) if parts else None


def _families(name: str, board: Summary) -> Any:
    import altair as alt

    names = [name for name in board["order"] if "[" not in name and name not in BARS]
    charts: list[Any] = []
    family_of = {metric: family for family, metric in board["families"].items()}
    for metric in board["metrics"]:
        family = family_of[metric]
        lines = _levels(board, metric, names)
        bars = [
            {"bar": bar, "at": board["rows"][bar][metric]}
            for bar in ("floor", "ceiling")
            if board["rows"].get(bar, {}).get(metric) is not None
        ]
        charts.append(forest(lines, bars, names, "\n".join(textwrap.wrap(_TITLES.get(family, family), 30)), not charts))
    title = f"{name}: {board['n_conditions']} conditions over {board['seeds']} splits"
    return alt.hconcat(*charts, spacing=16, title=alt.TitleParams(title, anchor="start"))


def _levels(board: Summary, metric: str, names: Sequence[str]) -> Lines:
    rows = board["rows"]
    fields = {"value": metric, "low": f"{metric}_ci_low", "high": f"{metric}_ci_high"}
    lines = [{"row": name, **{k: rows[name].get(column) for k, column in fields.items()}} for name in names]
    return [line for line in lines if line["value"] is not None]


def frozen_metrics(summary: Summary) -> Any | None:
    """Boards without families: frozen encoders, profiles of wells; with chance where there is one."""
    import altair as alt

    boards = {key: board for key, board in summary["boards"].items() if not board["families"]}
    parts = []
    for key, board in boards.items():
        names = [name for name in board["order"] if name not in BARS]
        metrics = [name for name in _FROZEN if name in board["metrics"]] or board["metrics"][:4]
        charts = [
            forest(
                _levels(board, metric, names),
                _chance(board, metric),
                names,
                wrapped(_FROZEN.get(metric, metric)),
                i == 0,
            )
            for i, metric in enumerate(metrics)
        ]
        small = ", too few conditions for any claim" if board["evidence"] == "smoke" else ""
        title = f"{_board(summary, key)}{small}: {summary['tracks'][board['track']]['question']}"
        parts.append(alt.hconcat(*charts, spacing=16, title=alt.TitleParams(title, anchor="start")))
    return one_face(alt.vconcat(*parts, spacing=40)) if parts else None


def _chance(board: Summary, metric: str) -> Lines:
    """What luck gives: the reference row of shuffled labels."""
    value = board["rows"].get(_SHUFFLED, {}).get(metric)
    return [] if value is None else [{"bar": CHANCE, "at": value}]


def training_curves(summary: Summary) -> Any | None:
    """Where pretraining was stopped: records keep the step that was taken and its score, not the curve."""
    import altair as alt

    lines = [
        {
            **one,
            "share": one["step"] / one["steps"],
            "panel": _board(summary, one["board"]),
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
        data=inline(lines), facet=alt.Facet("panel:N", title=None), columns=3
    )
    title = alt.TitleParams(
        "Which step of its pretraining each run took",
        subtitle=["A point is a run. Records keep this step and its score; the curves themselves are not kept."],
    )
    return one_face(facets.properties(title=title))


def _board(summary: Summary, key: str) -> str:
    """A board's name for people; the track is named where its CSVs are.

    Example:
        >>> _board({"tracks": {"response": {"suffix": ""}}}, "response/simulated__doubles")
        'simulated, doubles'
    """
    track, _, name = key.partition("/")
    dataset, _, split = name.partition("__")
    apart = f" ({track})" if summary["tracks"][track]["suffix"] else ""
    return f"{dataset}, {split.replace('_', ' ')}{apart}"


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
