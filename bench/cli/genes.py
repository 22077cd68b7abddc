"""``bench genes``: predicted and observed shifts of a run, gene by gene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.flags import Parser
from bench.cli.output import check_formats, format_flags, print_table, tell
from bench.core.text import escaped

#: Conditions, and genes of each, that are printed for people.
CONDITIONS, GENES = 6, 5


def genes(argv: Sequence[str]) -> int:
    """``bench genes``."""
    parser = Parser(
        prog="bench genes",
        description="Predicted and observed shifts of the genes that move most surely in each test condition of a run: "
        "a table, predicted against observed, and a heat map of the differentially expressed genes.",
    )
    parser.add_argument("run_id", metavar="RUN_ID", help="id of a run")
    parser.add_argument("--top", type=int, default=20, help="genes of each condition")
    parser.add_argument("--no-figures", action="store_true", help="write the table only")
    parser.add_argument("--data", default=None, help="the run's data, where they are a file or card of your own")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    format_flags(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    check_formats(vars(options))
    from bench.core.console import note
    from bench.runner.genes import draw_genes, write_genes

    whole, table, path = write_genes(options.run_id, options.out, options.data, options.top)
    for picture in () if options.no_figures else draw_genes(options.run_id, options.out, whole):
        note(str(picture))
    if print_table(lambda: table, vars(options)):
        note(str(path))
        return 0
    units = table.groupby(["condition", "context"], sort=False)
    shown = units.head(GENES)[units.ngroup()[units.head(GENES).index] < CONDITIONS]
    print(escaped(shown.to_string(index=False, float_format="%.3f")))
    if units.ngroups > CONDITIONS or len(shown) < len(table):
        note(f"{len(shown)} of {len(table)} rows; all {units.ngroups} conditions are in the file")
    tell(path)
    return 0
