"""``bench score``: a predictions file of any tool becomes a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.flags import Parser, add_data_flags, published_flag, split_kind
from bench.cli.output import check_formats, format_flags, print_result
from bench.core.errors import BenchError


def score(argv: Sequence[str]) -> int:
    """``bench score``."""
    parser = Parser(prog="bench score", description="Score a predictions file that any tool wrote.")
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="h5ad: obs.condition, var_names = genes, one row is enough"
    )
    add_data_flags(parser)
    parser.add_argument("--seed", type=int, default=1, help="split seed")
    parser.add_argument("--control-fold", type=int, default=0, help="0 or 1")
    parser.add_argument("--name", default=None, help="the row's name (default: the file's)")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument(
        "--leaderboards", type=Path, default=Path("runs/leaderboards"), help="folder that gets the record"
    )
    published_flag(parser)
    format_flags(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    check_formats(vars(options))
    if not options.file.is_file():
        raise BenchError(f"no such file: {options.file}")
    from bench.core.console import Stages
    from bench.runner import api

    with Stages(1) as stages, stages.stage(f"read {options.data}"):
        split = split_kind(options.split, options.split_file)
        task = api.load_task(options.data, split, options.seed, options.control_fold, options.split_file)
    name = options.name or options.file.stem
    result = api.score(options.file, task, name, out=options.out, leaderboards=options.leaderboards)
    print_result(result, options.published, vars(options))
    return 0
