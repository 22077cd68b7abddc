"""The command ``bench``: verbs only. Nothing slow is imported before it is needed, so ``bench --help`` is instant."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from bench import __version__
from bench.cli import audit, boards, data, streams
from bench.cli.bundle import bundle
from bench.cli.compare import compare
from bench.cli.explain import explain
from bench.cli.figures import figures
from bench.cli.frozen import frozen
from bench.cli.genes import genes
from bench.cli.identify import identify
from bench.cli.lists import show_list
from bench.cli.plan import plan
from bench.cli.predict import predict
from bench.cli.profiles import profiles
from bench.cli.question import ask, track_of
from bench.cli.run import run
from bench.cli.score import score
from bench.cli.suite import suite
from bench.cli.sweep import sweep
from bench.core.conditions import written
from bench.core.errors import BenchError, unknown
from bench.core.files import NO_ROOM
from bench.core.text import message

_EPILOG = """examples:
  bench run --model linear                                  the built-in data, a table at the end
  bench run --model linear --data norman_slice --seed 1-3   three split seeds
  bench run --model linear --help                           the model's own flags
  bench data check FILE.h5ad                                what a file holds, and every problem
"""


_VERBS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "run": (run, "fit a model, predict, score, print the board"),
    "plan": (plan, "which perturbation leads to a state: models judged, or a saved one asked"),
    "predict": (predict, "a saved model on the control cells of a new file"),
    "score": (score, "score a predictions file of any tool, print the board"),
    "leaderboard": (boards.leaderboard, "records -> CSVs; --check compares"),
    "publish": (boards.publish, "copy records into the committed boards"),
    "audit": (audit.audit, "check every published file, number and claim again"),
    "reproduce": (audit.reproduce, "run a published record again elsewhere, compare"),
    "prune": (boards.prune, "remove records: of an older data hash or version, by run id or row"),
    "bundle": (bundle, "what the boards show, and all that is needed to check it, in one folder"),
    "compare": (compare, "two rows: paired differences, and where they differ most"),
    "figures": (figures, "draw a board: PDF, SVG and PNG"),
    "genes": (genes, "a run gene by gene: predicted and observed shifts"),
    "explain": (explain, "what a word of a board, or a metric, means"),
    "sweep": (sweep, "do all runs of a suite; boards and claims at the end"),
    "suite": (suite, "all evaluations of a publication (biojepac): as printed, corrected, and trivial answers"),
    "frozen": (frozen, "what a frozen encoder says about held-out cells"),
    "identify": (identify, "whether latents are the true ones; --check: what data show of the assumptions"),
    "profiles": (profiles, "replicates, targets and modalities matched by profiles of wells"),
    "data": (data.data, "check, card, fetch, split, features, export, list"),
    "list": (show_list, "models, baselines, tracks (with their verbs), metrics, datasets"),
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
    streams.prepare()
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _guarded(argv, "--debug" in argv or bool(os.environ.get("BENCH_DEBUG")))
    except SystemExit:
        if failed := streams.flushed(0):
            return failed
        raise
    return streams.flushed(code)


def _guarded(argv: list[str], debug: bool) -> int:
    """Run one verb; every error that a user can meet is one message."""
    try:
        if not argv or argv[0] in ("-h", "--help", "help"):
            print(_help())
            return 0
        if argv[0] in ("-V", "--version"):
            print(__version__)
            return 0
        if argv[0] in _VERBS:
            return _VERBS[argv[0]][0](argv[1:])
        if (track := track_of(argv[0])) is None:
            raise unknown("verb", argv[0], _VERBS)
        return ask(track, argv[1:])
    except BenchError as error:
        if debug:
            traceback.print_exc()
        print("error:", written(str(error)), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as error:
        # Lightning's trainer turns Ctrl-C into exit(1).
        if isinstance(error.__context__, KeyboardInterrupt):
            return _interrupted()
        raise
    except BrokenPipeError:
        streams.drop(sys.stdout)
        return 0
    except streams.Unwritten as error:
        return streams.refused(error)
    except OSError as error:
        if debug or error.errno not in (errno.ENAMETOOLONG, *NO_ROOM):
            raise
        where = error.filename2 or error.filename or "a file"
        print("error:", message(f"cannot write {str(where)[:200]}: {error.strerror}."), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
