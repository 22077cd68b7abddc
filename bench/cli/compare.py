"""``bench compare``: two rows of a board."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cli.flags import Parser, folders_flag
from bench.cli.output import check_formats, format_flags, print_table


def compare(argv: Sequence[str]) -> int:
    """``bench compare``."""
    parser = Parser(prog="bench compare", description="Two rows of a board: paired differences by metric and subgroup.")
    parser.add_argument("a", metavar="MODEL_A")
    parser.add_argument("b", metavar="MODEL_B")
    parser.add_argument("--data", default="simulated", help="data set name, as on the board")
    parser.add_argument("--split", default="simulation", help="split name, as on the board")
    folders_flag(parser)
    format_flags(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    check_formats(vars(options))
    from bench.reports.compare import show
    from bench.runner import boards

    a, b, folders = options.a, options.b, options.leaderboards
    table = boards.compare
    if not print_table(lambda: table(a, b, options.data, options.split, folders=folders), vars(options)):
        show(boards.board_records(options.data, options.split, folders), a, b)
    return 0
