"""``bench explain``: what a word of a board, or a metric, means."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cli.flags import Parser, folders_flag
from bench.cli.output import tell


def explain(argv: Sequence[str]) -> int:
    """``bench explain``."""
    parser = Parser(prog="bench explain", description="What a word of a board, or a metric, means.")
    parser.add_argument(
        "word", metavar="WORD", nargs="+", help="as it stands on a board (skill, pattern r, floor), or a metric's name"
    )
    folders_flag(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    from bench.reports.explain import explain as describe

    for line in describe(" ".join(options.word), options.leaderboards):
        tell(line)
    return 0
