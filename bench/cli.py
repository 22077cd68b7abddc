"""The command ``bench``: verbs only. Nothing slow is imported before it is needed, so ``bench --help`` is instant."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import __version__
from bench.errors import BenchError, unknown
from bench.flags import Parser, choice, model_from, run_parser, seed_triples

_EPILOG = """examples:
  bench run --model linear                                  the built-in data, a table at the end
  bench run --model linear --data norman_slice --seed 1-3   three split seeds
  bench run --model linear --help                           the model's own flags
  bench data check FILE.h5ad                                what a file holds, and every problem
"""


def _run(argv: Sequence[str]) -> int:
    name, from_config = model_from(argv)
    if name is None or name.startswith("-"):
        if {"-h", "--help"} & set(argv):
            run_parser(None).print_help()
            return 0
        raise BenchError("bench run needs --model NAME; 'bench list models' and 'bench list baselines' show them.")
    from bench.models import registry

    if name not in registry.entries():
        raise unknown("model", name, registry.entries())
    model_class = registry.load(name)
    parser = run_parser(model_class)
    arguments = vars(parser.parse_args([*from_config, *argv]).as_flat())
    import inspect

    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(model_class.__init__).parameters.items()
        if key != "self"
    }
    resolved = {key: arguments[key] for key in defaults}
    from bench import pipeline
    from bench.pipeline import Request

    request = Request(
        model=name,
        arguments=resolved,
        variant={key: value for key, value in resolved.items() if value != defaults[key]},
        data=arguments["data"],
        split=_split_kind(arguments["split"], arguments["split_file"]),
        split_file=Path(arguments["split_file"]) if arguments["split_file"] else None,
        seeds=seed_triples(arguments),
        folds=choice(arguments["control_fold"], {"0": (0,), "1": (1,), "both": (0, 1)}, "control fold"),
        out=Path(arguments["out"]),
        leaderboards=Path(arguments["leaderboards"]),
        force=arguments["force"],
        tracking=choice(
            arguments["tracking"], {"offline": "offline", "online": "online", "off": "off"}, "tracking mode"
        ),
    )
    paths = pipeline.run(request)
    pipeline.print_boards([request.leaderboards, Path(arguments["published"])], paths)
    print(paths[-1], flush=True)
    return 0


def _split_kind(kind: str | None, file: object) -> str | None:
    if file and kind not in (None, "custom"):
        raise BenchError(f"--split-file goes with --split custom, not with --split {kind}.")
    return "custom" if file else kind


def _leaderboard(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="bench leaderboard", description="Records -> CSVs, one per data set and split, and per subgroup."
    )
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="folder of records and CSVs")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a CSV differs from its records")
    parser.add_argument("--quiet", action="store_true", help="print no tables")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    from bench import leaderboard
    from bench.console import note
    from bench.table import show

    folder = options.leaderboards
    if not folder.is_dir():
        raise BenchError(f"no such folder: {folder}")
    if options.check:
        note(f"{leaderboard.check(folder)} CSVs equal what the records give")
        return 0
    found = leaderboard.group(leaderboard.collect([folder]))
    changed = leaderboard.regenerate(folder)
    for items in found.values() if not options.quiet else ():
        table = leaderboard.board(items)
        if not table.empty:
            used = sorted({i.record.spec.split_seed for i in items if i.record.spec.control_fold == 0})
            show(table, [item.record for item in items if item.record.spec.control_fold == 0], used)
    note(f"{len(changed)} CSVs changed" if changed else "no CSV changed")
    for path in changed:
        print(path)
    return 0


def _publish(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="bench publish", description="Copy records into the committed boards and regenerate their CSVs."
    )
    parser.add_argument("run_ids", nargs="+", metavar="RUN_ID", help="as 'bench run' prints in the record's name")
    parser.add_argument(
        "--from", dest="source", type=Path, default=Path("runs/leaderboards"), help="folder that holds them"
    )
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="folder that gets them")
    parser.add_argument("--force", action="store_true", help="replace a published record that differs")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    from bench.publish import publish

    for line in publish(options.run_ids, options.source, options.leaderboards, options.force):
        print(line)
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
    elif options.what == "metrics":
        from bench.metrics import METRICS

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


def _data(argv: Sequence[str]) -> int:
    parser = Parser(prog="bench data", description="Look at data: check, card, split, list.")
    verbs = parser.add_subparsers(dest="verb", required=True, parser_class=Parser, metavar="{check,card,split,list}")
    check = verbs.add_parser("check", help="print what a file or data set holds, and every problem")
    check.add_argument("name", metavar="FILE|NAME")
    card = verbs.add_parser("card", help="print a first card for a file, as YAML")
    card.add_argument("file", metavar="FILE", type=Path)
    split = verbs.add_parser("split", help="print a split")
    split.add_argument("name", metavar="NAME")
    split.add_argument("--split", default=None)
    split.add_argument("--split-file", type=Path, default=None)
    split.add_argument("--seed", type=int, default=1)
    split.add_argument("--control-fold", type=int, default=0)
    split.add_argument("--json", action="store_true", help="the only form there is; kept for clarity")
    verbs.add_parser("list", help="the data sets that have a card")
    for each in (check, card, split):
        each.add_argument("--debug", action="store_true", help="show tracebacks")
    if argv and not argv[0].startswith("-") and argv[0] not in verbs.choices:
        raise unknown("data verb", argv[0], verbs.choices)
    options = parser.parse_args(argv)
    if options.verb == "list":
        return _list(["datasets"])
    if options.verb == "card":
        from bench.data.guess import guess_card, to_yaml

        sys.stdout.write(to_yaml(guess_card(options.file)))
        return 0
    if options.verb == "split":
        from bench import pipeline

        kind = _split_kind(options.split, options.split_file)
        print(pipeline.describe_split(options.name, kind, options.seed, options.control_fold, options.split_file))
        return 0
    from bench.data.describe import describe

    for line in describe(options.name):
        print(line)
    return 0


_VERBS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "run": (_run, "fit a model, predict, score, print the board"),
    "leaderboard": (_leaderboard, "records -> CSVs; --check compares"),
    "publish": (_publish, "copy records into the committed boards"),
    "data": (_data, "check, card, split, list"),
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


if __name__ == "__main__":
    sys.exit(main())
