"""``bench figures``: draw a board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.flags import Parser, folders_flag
from bench.cli.output import tell


def figures(argv: Sequence[str]) -> int:
    """``bench figures``."""
    parser = Parser(prog="bench figures", description="Draw a board: skill, floor scatter, DE recall, effect size.")
    parser.add_argument("--data", default="simulated", help="data set name, as on the board")
    parser.add_argument("--split", default=None, help="split name (default: simulation, or the only one there is)")
    parser.add_argument("--models", nargs="+", default=None, metavar="MODEL", help="rows (default: all but variants)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the PDF, SVG and PNG files")
    folders_flag(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    from bench.reports.figures import draw
    from bench.tracks import registry

    for path in draw(registry.plain(), options.leaderboards, options.data, options.split, options.out, options.models):
        tell(path)
    return 0
