"""The command ``bench``: verbs only. Nothing slow is imported before it is needed, so ``bench --help`` is instant."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import __version__
from bench.cli import boards, data
from bench.cli.figures import figures
from bench.cli.flags import Parser, add_data_flags, shipped_configs, split_kind
from bench.cli.frozen import frozen
from bench.cli.run import run
from bench.cli.sweep import sweep
from bench.core.errors import BenchError, unknown

_EPILOG = """examples:
  bench run --model linear                                  the built-in data, a table at the end
  bench run --model linear --data norman_slice --seed 1-3   three split seeds
  bench run --model linear --help                           the model's own flags
  bench data check FILE.h5ad                                what a file holds, and every problem
"""


def _score(argv: Sequence[str]) -> int:
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
    parser.add_argument(
        "--published", type=Path, default=Path("leaderboards"), help="committed board, merged into the table"
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    from bench.reports.text import print_boards
    from bench.runner.outside import score_file

    path = score_file(
        options.file,
        options.name,
        options.data,
        split_kind(options.split, options.split_file),
        Path(options.split_file) if options.split_file else None,
        options.seed,
        options.control_fold,
        options.out,
        options.leaderboards,
    )
    print_boards([options.leaderboards, options.published], [path])
    print(path, flush=True)
    return 0


def _list(argv: Sequence[str]) -> int:
    parser = Parser(prog="bench list", description="What is registered.")
    parser.add_argument("what", help="models, baselines, metrics or datasets")
    parser.add_argument("--json", action="store_true", help="as JSON on stdout")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    rows: dict[str, str]
    if options.what in ("models", "baselines"):
        from bench.models import registry

        rows = {e.name: e.summary for e in registry.entries().values() if e.kind == options.what[:-1]}
        if options.what == "models":
            rows |= shipped_configs()
    elif options.what == "metrics":
        from bench.tracks.response.metrics import METRICS

        rows = {m.name: f"{m.family or '-':<9} better: {m.better:<5} {m.formula}" for m in METRICS.values()}
    elif options.what == "datasets":
        from bench.data import cards

        rows = {name: cards.find_card(name).description for name in cards.names()}
    else:
        raise unknown("list", options.what, ("models", "baselines", "metrics", "datasets"))
    if options.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        width = max(map(len, rows), default=0)
        print("\n".join(f"{name:<{width}}  {text}" for name, text in rows.items()) or f"no {options.what} yet")
    return 0


_VERBS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "run": (run, "fit a model, predict, score, print the board"),
    "score": (_score, "score a predictions file of any tool, print the board"),
    "leaderboard": (boards.leaderboard, "records -> CSVs; --check compares"),
    "publish": (boards.publish, "copy records into the committed boards"),
    "prune": (boards.prune, "remove records: of an older data hash or version, by run id or row"),
    "compare": (boards.compare, "two rows: paired differences, and where they differ most"),
    "figures": (figures, "draw a board: PDF, SVG and PNG"),
    "explain": (boards.explain, "a metric: formula, direction, floor, replicate, source, trap"),
    "sweep": (sweep, "do all runs of a suite; boards and claims at the end"),
    "frozen": (frozen, "what a frozen encoder says about held-out cells"),
    "data": (data.data, "check, card, split, features, export, list"),
    "list": (_list, "models, baselines, metrics, datasets"),
}


def _help() -> str:
    verbs = "\n".join(f"  {name:<12} {text}" for name, (_, text) in _VERBS.items())
    return (
        f"usage: bench VERB [options]\n\nCompare models of single-cell perturbation response on equal terms.\n\n"
        f"verbs:\n{verbs}\n\n{_EPILOG}\n'bench VERB --help' shows a verb's options. Version {__version__}."
    )


def _interrupted() -> int:
    print("\ninterrupted; finished runs are kept, the one in progress left no record", file=sys.stderr)
    return 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        The exit code: 0; 2 for bad input (one message); 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if argv[0] in ("-V", "--version"):
        print(__version__)
        return 0
    debug = "--debug" in argv or bool(os.environ.get("BENCH_DEBUG"))
    try:
        if argv[0] not in _VERBS:
            raise unknown("verb", argv[0], _VERBS)
        return _VERBS[argv[0]][0](argv[1:])
    except BenchError as error:
        if debug:
            traceback.print_exc()
        print("error:", " ".join(line.strip() for line in str(error).splitlines()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as error:
        # Lightning's trainer turns Ctrl-C into exit(1).
        if isinstance(error.__context__, KeyboardInterrupt):
            return _interrupted()
        raise
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug or error.errno not in (errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"error: {str(error.filename)[:200]!r}: {error.strerror}.", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
