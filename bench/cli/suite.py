"""``bench suite``: all evaluations of a publication for a model, as they were printed and as they ought to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.flags import Parser, add_data_flags, split_kind
from bench.cli.output import check_formats, format_flags, print_table
from bench.core.errors import BenchError, unknown
from bench.core.seeds import seeds
from bench.core.text import escaped

if TYPE_CHECKING:
    import pandas as pd

#: The model that is asked where none is named.
USUAL = "biojepac_small"
_DESCRIPTION = (
    "Fit a model and ask it the eight evaluations of BioJEPAC: expression, gene calls, retrieval, uncertainty, "
    "batches, pathways, mechanism, essentiality. A row per measure: the published form beside what a trivial answer "
    "has in it, "
    "the corrected form with its 95% interval beside the best trivial answer. What a model or the data do not have is "
    "said in the row."
)


def _parser() -> Parser:
    parser = Parser(prog="bench suite", description=_DESCRIPTION)
    parser.add_argument("suite", metavar="SUITE", help="biojepac")
    parser.add_argument("--model", default=USUAL, help=f"a model's name or config; several, parted by commas ({USUAL})")
    add_data_flags(parser)
    parser.add_argument("--seed", default="1", help="1, 1-3 or 1,2,5: split, pretraining and head seeds")
    parser.add_argument(
        "--pairs", action="append", type=Path, default=[], help="pathways: a gene-gene pair table (entity1, entity2)"
    )
    parser.add_argument("--pathways", type=Path, help="pathways: a table with columns gene and pathway")
    parser.add_argument("--mechanisms", type=Path, help="a table with columns perturbation and mechanism")
    parser.add_argument("--essential", type=Path, help="a table with columns gene and essential (1 or 0)")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--force", action="store_true", help="fit again, whatever checkpoints there are")
    format_flags(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def suite(argv: Sequence[str]) -> int:
    """``bench suite``."""
    options = _parser().parse_args(argv)
    check_formats(vars(options))
    import pandas as pd

    from bench.core.console import note
    from bench.runner import suite as runner
    from bench.runner.config import make_config, seed_triples
    from bench.runner.model_choice import choose
    from bench.runner.suite_tables import Tables

    if options.suite not in runner.SUITES:
        raise unknown("suite", options.suite, runner.SUITES)
    names = [name.strip() for name in options.model.split(",") if name.strip()]
    if not names:
        raise BenchError("--model names no model; 'bench list models' and 'bench list baselines' show them.")
    configs = [
        make_config(
            choose(name),
            {},
            data=options.data,
            split=split_kind(options.split, options.split_file),
            split_file=options.split_file,
            seeds=seed_triples(seeds(options.seed), ()),
            out=options.out,
            leaderboards=options.out / "leaderboards",
            force=options.force,
        )
        for name in dict.fromkeys(names)
    ]
    tables = Tables(tuple(options.pairs), options.pathways, options.mechanisms, options.essential)
    whole = pd.concat([runner.run(config, tables) for config in configs], ignore_index=True)
    if not print_table(lambda: whole, vars(options)):
        for (model, data, split, seed), part in whole.groupby(["model", "data", "split", "seed"], sort=False):
            print(escaped(f"{model} | {data} | {split} | seed {seed}\n\n{text(part)}\n"), flush=True)
    note("published = as printed; corrected = with 95% interval; a model is worth what it has beyond 'trivial'")
    return 0


_HEAD = ("evaluation", "measure", "published", "(trivial)", "corrected", "95% interval", "trivial", "measured", "n")
#: Columns of words; numbers stand to the right.
_WORDS = (0, 1, 5, 6)


def text(table: pd.DataFrame) -> str:
    """The table of one model for people: numbers to three digits, notes below."""
    notes = list(dict.fromkeys(note for note in table["note"] if note))
    lines = [_HEAD]
    for row in table.to_dict("records"):
        mark = f" [{notes.index(row['note']) + 1}]" if row["note"] else ""
        lines.append(
            (
                row["evaluation"],
                row["measure"] + mark,
                *(_short(row[name]) for name in ("published", "published_trivial", "corrected")),
                "" if _none(row["low"]) else f"{_short(row['low'])} to {_short(row['high'])}",
                "-" if _none(row["trivial"]) else f"{_short(row['trivial'])} {row['trivial_is']}",
                _short(row["measured"]),
                str(row["n"] or "-"),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    out = ["  ".join(_put(i, word, widths[i]) for i, word in enumerate(line)).rstrip() for line in lines]
    return "\n".join([*out, "", *(f"[{i}] {said}" for i, said in enumerate(notes, start=1))])


def _put(column: int, word: str, width: int) -> str:
    return word.ljust(width) if column in _WORDS else word.rjust(width)


def _none(value: object) -> bool:
    return value is None or value != value


def _short(value: object) -> str:
    return "-" if _none(value) else f"{value:.3f}"
