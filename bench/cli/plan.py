"""``bench plan``: how well a model's predictions choose perturbations; with --run, what a saved one would choose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.flags import Parser
from bench.cli.output import check_formats, format_flags, print_table
from bench.cli.question import ask
from bench.core.errors import BenchError
from bench.core.text import counted

_DESCRIPTION = (
    "Fit a model once, predict every candidate perturbation, and print how well the right one is found by these "
    "predictions. E1: which held-out perturbation made these cells; E2: with train perturbations among the candidates; "
    "E3: which pair; E4: steer to a state; E5: reversal to control; E6: E3 by a search in two stages; E7: E1 in a "
    "context that was held out (--split unseen_context). With --run RUN --target STATE.h5ad, a saved model is asked "
    "instead: 'bench plan --run x --help' shows the flags."
)


def plan(argv: Sequence[str]) -> int:
    """``bench plan``."""
    if any(word.partition("=")[0] in ("--run", "--target") for word in argv):
        return _choose(argv)
    from bench.tracks import registry

    return ask(registry.by_verb("plan"), argv, _DESCRIPTION)


def _choose(argv: Sequence[str]) -> int:
    """Ask a saved model which perturbations lead from a start to a target."""
    parser = Parser(
        prog="bench plan",
        description="Rank perturbations by how near a model that 'bench run --save' kept predicts them to come to the "
        "state of the target's cells. Candidates are predicted, not measured.",
    )
    parser.add_argument("--run", required=True, metavar="RUN_ID|FOLDER", help="a run with a saved model, or its folder")
    parser.add_argument(
        "--target", required=True, type=Path, help="h5ad file with cells of the goal; labels are not used"
    )
    parser.add_argument("--start", type=Path, help="h5ad file with cells to start from (default: the data's controls)")
    parser.add_argument(
        "--candidates", default="all", help="all, pairs, or a text file with a perturbation per line (KLF1, SET+KLF1)"
    )
    parser.add_argument("--avoid", default="", help="what no candidate may hold: KLF1,SET, a compound 'JQ1 @ 10 uM'")
    parser.add_argument("--doses", default="", help="of compounds, in uM or with a unit: 1,10 (default: as measured)")
    parser.add_argument(
        "--search",
        help="exhaustive (call the model for all candidates), surrogate (sums of singles choose combinations) or "
        "gradient (follow it to the best action, and call what is nearest); default: surrogate for many pairs",
    )
    parser.add_argument(
        "--shortlist", type=int, default=500, help="candidates that surrogate and gradient call (default: 500)"
    )
    parser.add_argument("--top", type=int, default=20, help="rows (default: 20)")
    parser.add_argument("--figure", type=Path, help="also draw start, goal and candidates: .png, .svg or .pdf")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs")
    format_flags(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    check_formats(vars(options))
    if options.figure and options.figure.suffix.lstrip(".") not in (formats := ("pdf", "svg", "png")):
        raise BenchError(f"--figure {options.figure}: expected a name that ends in .{', .'.join(formats)}.")
    from bench.core.console import note
    from bench.runner import planner

    made = planner.solve(
        options.run,
        options.target,
        options.start,
        options.candidates,
        options.avoid,
        options.top,
        options.runs,
        search=options.search,
        doses=options.doses,
        shortlist=options.shortlist,
    )
    if not print_table(lambda: made.table, vars(options)):
        print(made.table.to_string(index=False, float_format="%.3f", na_rep="-"), flush=True)
        note(planner.LEGEND)
    note(f"{counted(made.considered, 'candidate')}; predictions asked of the model: {made.calls:,}")
    for line in (*made.notes, planner.CAVEAT):
        note(line)
    if options.figure:
        from bench.reports.figures import plan as picture
        from bench.reports.figures.style import render, write

        drawn = picture.table(made.route.start, made.route.goal, made.means, made.others, made.table)
        write(options.figure, render(picture.chart(drawn))[options.figure.suffix.lstrip(".")])
        note(str(options.figure))
    return 0
