"""Claims and their verdicts in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from bench.core.console import answer
from bench.results.claim import Claim
from bench.results.claims import Gap, Verdict
from bench.results.tables import ALL

_STYLES = {"true": "green", "false": "red", "not_evaluable": "yellow"}


def show(verdicts: Sequence[Verdict]) -> None:
    """Print verdicts, by board and metric, one line for each difference; what decides nothing is in brackets."""
    boards: dict[str, list[Verdict]] = {}
    for one in verdicts:
        boards.setdefault(_about(one.claim), []).append(one)
    for about, same in boards.items():
        view = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("claim", "verdict", "less", "difference [95% CI]", "n"):
            view.add_column(title, justify="right" if title == "n" else "left", overflow="fold")
        for one in same:
            verdict = Text(one.verdict.replace("_", " "), style=_STYLES[one.verdict])
            lines = [(gap.row, _interval(gap), str(gap.n)) for gap in one.differences]
            lines += [(f"({gap.row})", _interval(gap), str(gap.n)) for gap in one.beside]
            if one.reason:
                lines.insert(0, ("", one.reason, ""))
            for i, line in enumerate(lines):  # names hold brackets, which rich would take for its markup
                head = (Text(one.claim.name), verdict) if i == 0 else (Text(), Text())
                view.add_row(*head, *map(Text, line))
            for other in one.elsewhere:
                view.add_row("", Text(f"{other.verdict} on {other.data}", style=_STYLES[other.verdict]))
            if one.claim.expected not in (None, one.verdict):
                view.add_row("", Text(f"expected: {str(one.claim.expected).replace('_', ' ')}", style="bold red"))
        answer.print()
        answer.print(Text(f"claims | {about}", style="bold"))
        answer.print(view)
        for over in dict.fromkeys(one.over for one in same if one.over):
            answer.print(Text(f"generalises {over}", style="dim"))


def _about(claim: Claim) -> str:
    words = (claim.data, claim.split, claim.metric, claim.subgroup)
    return " | ".join(words if claim.subgroup != ALL else words[:-1])


def _interval(gap: Gap) -> str:
    if gap.mean is None:
        return "undefined"
    bounds = "no interval" if gap.low is None else f"[{gap.low:+.3f}, {gap.high:+.3f}]"
    return f"{gap.mean:+.3f} {bounds}"
