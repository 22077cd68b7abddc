"""``bench score``: a predictions file of any tool becomes a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.flags import Parser, add_data_flags, choice, published_flag, split_kind
from bench.cli.output import check_formats, format_flags, print_result
from bench.core.errors import BenchError

_GENES = {"all": "all", "subset": "subset"}


def score(argv: Sequence[str]) -> int:
    """``bench score``."""
    parser = Parser(
        prog="bench score",
        description="Score a predictions file that any tool wrote. The predicted and the real file of cell-eval or "
        "STATE: bench score adata_pred.h5ad --data adata_real.h5ad --column target_gene --control non-targeting",
    )
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="h5ad (or .vcc): obs.condition, var_names = genes, one row is enough"
    )
    add_data_flags(parser, ", or predicted: what the file predicts is test, all else is train")
    parser.add_argument("--seed", type=int, default=1, help="split seed")
    parser.add_argument("--control-fold", type=int, default=0, help="0 or 1")
    parser.add_argument("--name", default=None, help="the row's name (default: the file's)")
    parser.add_argument(
        "--column",
        default=None,
        help="obs column of the conditions, as we or your card name them (default: the one that names the most)",
    )
    parser.add_argument("--control", action="append", default=[], help="what controls are called; may be given again")
    parser.add_argument(
        "--genes", default="all", help="subset: score those that the file has, on a board of their own (default: all)"
    )
    parser.add_argument(
        "--gene-names", type=Path, default=None, metavar="FILE", help="names of the columns, one a line, in order"
    )
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument(
        "--leaderboards", type=Path, default=Path("runs/leaderboards"), help="folder that gets the record"
    )
    published_flag(parser)
    format_flags(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    check_formats(vars(options))
    genes = choice(options.genes, _GENES, "choice of genes")
    if not options.file.is_file():
        raise BenchError(f"no such file: {options.file}")
    from bench.core.console import Stages
    from bench.data.naming import Naming, read_gene_names
    from bench.runner import api, handed_in

    names = read_gene_names(options.gene_names) if options.gene_names else ()
    naming = Naming(column=options.column, control=tuple(options.control), gene_names=names)
    with handed_in.opened(options.file) as path:
        with Stages(1) as stages, stages.stage(f"read {options.data}"):
            data = handed_in.source_of(options.data, options.column, naming.control)
            split = split_kind(options.split, options.split_file)
            file = None if options.split_file is None else Path(options.split_file)
            task = handed_in.task_of(path, data, naming, split, options.seed, options.control_fold, file)
        result = api.score(
            path,
            task,
            options.name or options.file.stem,
            column=options.column,
            control=naming.control,
            genes=genes,
            gene_names=names,
            out=options.out,
            leaderboards=options.leaderboards,
        )
    print_result(result, options.published, vars(options))
    return 0
