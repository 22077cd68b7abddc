"""``paper/paper.md`` and ``report.md``: a template and tables whose every number is quoted from the summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.audit.bundle.figures import question
from bench.audit.bundle.quote import fill, quote
from bench.audit.report import Report

Summary = Mapping[str, Any]

_TEMPLATE = Path(__file__).with_name("paper.md")
_WORDS = {"true": "holds", "false": "does not hold", "not_evaluable": "cannot be judged"}
_CAPTIONS = {
    "fig1_audit_overview": "What may support a claim, what was claimed, and what holds.",
    "fig2_heldout_metrics": "Every row of the boards that may carry claims, between floor and ceiling.",
    "fig3_frozen_metrics": "Boards without floor and ceiling: frozen encoders, and profiles of wells.",
    "figA1_training_curves": "Which step of its pretraining each run took, and the score of that step.",
}


def write_paper(summary: Summary, figures: Sequence[str]) -> tuple[str, list[dict[str, str]]]:
    """Write the paper.

    Args:
        summary: The summary, with ``figures``.
        figures: Names of the figures that there are.

    Returns:
        The text, and what is quoted in it, in order.

    Raises:
        BenchError: A number in the text that is not from the summary.
    """
    parts = {
        "boards": tables(summary),
        "questions": _questions(summary),
        "findings": _findings(summary),
        "notes": "".join(
            f"{quote('findings', i, 'note')}\n\n" for i, one in enumerate(summary["findings"]) if one["note"]
        ),
        "figures": _figures(summary, figures),
    }
    text = _TEMPLATE.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"<<{name}>>", part)
    return fill(text, summary)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *rows]) if rows else "There are none."


def tables(summary: Summary) -> str:
    """A paragraph and a table for each kind of board, by what it asks."""
    parts = []
    for name in summary["tracks"]:
        boards = {key: board for key, board in summary["boards"].items() if board["track"] == name}
        placed = any(board["families"] for board in boards.values())
        beside = "it stands between the floor and the ceiling of each board." if placed else ""
        if any("shuffled" in board["rows"] for board in boards.values()):
            beside = "with shuffled labels it must be at chance."
        number = f"The number is `{quote('tracks', name, 'metric')}`" + (f"; {beside}" if beside else ".")
        parts += [f"**{quote('tracks', name, 'question')}**\n{number}", _placed(boards) if placed else _ranked(boards)]
    return "\n\n".join(parts)


def _placed(boards: Mapping[str, Summary]) -> str:
    lines = []
    for key, board in boards.items():
        if not board["metrics"]:
            continue
        metric, best, at = board["metrics"][0], board["best"], ("boards", key, "rows")
        levels = [
            quote(*at, name, metric, form=".2f") if name in board["rows"] else "–"
            for name in ("floor", best, "ceiling")
        ]
        skill = "–" if best is None else _interval(at, best, "skill", board)
        lines.append([*_about(key, board), quote("boards", key, "n_conditions"), _best(key, board), skill, *levels])
    head = [
        "data",
        "split",
        "evidence",
        "rows",
        "conditions",
        "best row",
        "its skill",
        "floor",
        "row",
        "ceiling",
    ]
    return _table(head, lines)


def _ranked(boards: Mapping[str, Summary]) -> str:
    lines = []
    for key, board in boards.items():
        metric, best, at = next(iter(board["metrics"]), ""), board["best"], ("boards", key, "rows")
        level = "–" if best is None else _interval(at, best, metric, board)
        shuffled = quote(*at, "shuffled", metric, form=".2f") if "shuffled" in board["rows"] and best else "–"
        lines.append([*_about(key, board), _best(key, board), level, shuffled])
    return _table(["data", "split", "evidence", "rows", "best row", "row", "shuffled"], lines)


def _about(key: str, board: Mapping[str, Any]) -> list[str]:
    evidence = "full" if board["evidence"] == "full" else "too small"
    return [quote("boards", key, "dataset"), quote("boards", key, "split"), evidence, quote("boards", key, "n_rows")]


def _best(key: str, board: Mapping[str, Any]) -> str:
    return "none" if board["best"] is None else quote("boards", key, "best")


def _interval(at: Sequence[str], row: str, column: str, board: Mapping[str, Any]) -> str:
    value = quote(*at, row, column, form=".2f")
    ends = [f"{column}_ci_{end}" for end in ("low", "high")]
    if any(board["rows"][row].get(end) is None for end in ends):
        return value
    return f"{value} [{', '.join(quote(*at, row, end, form='.2f') for end in ends)}]"


def _questions(summary: Summary) -> str:
    lines = [
        [
            question(one["beats"]),
            *(quote("questions", i, value) for value in ("true", "false", "not_evaluable")),
            ", ".join(one["holds"]) or "none",
            ", ".join(one["never"]) or "none",
        ]
        for i, one in enumerate(summary["questions"])
    ]
    head = ["has to beat", "hold", "do not", "cannot be judged", "rows for which it holds somewhere", "nowhere"]
    return _table(head, lines)


def _findings(summary: Summary) -> str:
    lines = [
        [
            quote("findings", i, "name"),
            _WORDS[one["value"]],
            _WORDS[one["expected"]],
            quote("findings", i, "looked"),
            quote("findings", i, "n_against"),
        ]
        for i, one in enumerate(summary["findings"])
    ]
    return _table(["claim", "found", "expected", "looked at", "against it"], lines)


def _notes(summary: Summary) -> str:
    noted = [i for i, one in enumerate(summary["findings"]) if one["note"]]
    return "".join(f"{quote('findings', i, 'note')}\n\n" for i in noted)


def _figures(summary: Summary, figures: Sequence[str]) -> str:
    return "\n".join(f"- [{_CAPTIONS[name]}](../{quote('figures', i)})" for i, name in enumerate(figures))


def write_report(summary: Summary, checks: Report) -> str:
    """Write every claim and every check in Markdown, for people."""
    claims = summary["counts"]["claims"]
    lines = [
        "# Report",
        "",
        f"{summary['counts']['records']} records in {summary['counts']['boards']} boards. {claims['true']} claims "
        f"hold, {claims['false']} do not, {claims['not_evaluable']} cannot be judged.",
        "",
        "## Claims about the boards as a whole",
        "",
        _table(
            ["claim", "found", "expected", "why"],
            [[_cell(o["name"]), o["value"], o["expected"], _cell(o["reason"])] for o in summary["findings"]],
        ),
        "",
        "## Claims that one row beats others",
        "",
        _table(
            ["suite", "claim", "value", "least difference", "why not"],
            [[o["suite"], _cell(o["name"]), o["value"], _least(o), _cell(o["reason"])] for o in summary["claims"]],
        ),
        "",
        "## Left out of claims by a warning about provenance",
        "",
        _table(
            ["run", "row", "board", "warning"],
            [[o["run_id"], _cell(o["row"]), o["board"], _cell(o["warnings"][0])] for o in summary["excluded"]],
        ),
        "",
    ]
    return "\n".join(lines) + "\n" + checks.to_markdown()


def _least(one: Mapping[str, Any]) -> str:
    """The difference that decides a claim: the smallest of those to the rows that must be beaten."""
    known = [gap for gap in one["differences"] if gap["mean"] is not None]
    if not known:
        return "–"
    least = min(known, key=lambda gap: gap["mean"])
    bounds = "" if least["low"] is None else f" [{least['low']:+.3f}, {least['high']:+.3f}]"
    return f"{least['mean']:+.3f}{bounds}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
