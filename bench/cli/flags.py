"""Flags of the command line: parsers that suggest the nearest flag, seeds, and a model's own arguments."""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench.core.errors import BenchError, unknown


class Parser(argparse.ArgumentParser):
    """argparse that raises our error, with the nearest flag, instead of exiting by itself."""

    def __init__(self, **options: Any) -> None:
        # An abbreviation would change its meaning when a flag is added.
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Refuse a command line."""
        raise BenchError(_nearest_flags(message, _options(self)))


def _options(parser: Any) -> list[str]:
    """Every flag of a parser and of its verbs."""
    own = [option for action in parser._actions for option in action.option_strings]
    verbs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return own + [option for action in verbs for verb in action.choices.values() for option in _options(verb)]


def _nearest_flags(message: str, options: Sequence[str]) -> str:
    hints = []
    for flag in re.findall(r"(?<!\S)--?[A-Za-z][\w.-]*", message.split("arguments:", 1)[-1]):
        near = difflib.get_close_matches(flag.split("=")[0], options, n=1, cutoff=0.5)
        if near and near[0] != flag:
            hints.append(f"Did you mean '{near[0]}'?")
    text = (
        " ".join([message.strip().rstrip("."), *dict.fromkeys(hints)])
        if not hints
        else f"{message.strip().rstrip('.')}. {hints[0]}"
    )
    return text + ("" if text.endswith("?") else ".")


def seeds(text: str) -> list[int]:
    """Read ``3``, ``1-3`` or ``1,2,5``.

    Example:
        >>> seeds("1-3"), seeds("1,4")
        ([1, 2, 3], [1, 4])
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise BenchError(f"seed '{text}': expected a number (1), a range (1-3) or a list (1,2,5).")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(found))


def add_data_flags(parser: Any) -> None:
    """Add the flags that name data and split."""
    parser.add_argument("--data", default="simulated", help="a data set's name, a card (.yaml) or an .h5ad file")
    parser.add_argument(
        "--split",
        default=None,
        help="simulation (default), simulation_single, combo_seen0/1/2, single, doubles, custom",
    )
    parser.add_argument("--split-file", default=None, help="JSON with lists train, val, test, for --split custom")


def run_parser(model_class: Any | None) -> Any:
    """Make the parser of ``bench run``, with the model's own typed arguments as flat flags."""
    import jsonargparse

    class _RunParser(jsonargparse.ArgumentParser):  # type: ignore[misc]  # an untyped base
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            # 'Parser key "ridge":\n  Expected a <class 'float'>. Got value: abc' -> what the user typed, on one line.
            message = re.sub(r'Parser key "([\w.]+)":\s*', lambda m: f"--{m[1].replace('_', '-')}: ", message)
            message = re.sub(r"<class '([\w.]+)'>", r"\1", message)
            message = re.sub(r"a typing\.Literal\[(.*?)\]", r"one of \1", message)
            raise BenchError(_nearest_flags(message, _options(self)))

    parser = _RunParser(
        prog="bench run",
        description="Fit a model, predict the test conditions, score them, and print the board.",
        default_env=False,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model", help="a model's name (bench list models) or a config (.yaml with class_path, init_args)"
    )
    add_data_flags(parser)
    parser.add_argument("--seed", default="1", type=str, help="1, 1-3 or 1,2,5: split, pretraining and head seeds")
    parser.add_argument("--split-seed", type=str, default=None, help="split seeds, where they differ from --seed")
    parser.add_argument("--pretrain-seed", type=int | None, default=None, help="pretraining seed, where it differs")
    parser.add_argument("--head-seed", type=int | None, default=None, help="head seed, where it differs")
    parser.add_argument(
        "--control-fold", type=str, default="0", help="0, 1 or both: which half of the controls models see"
    )
    parser.add_argument("--out", type=str, default="runs", help="folder of the runs")
    parser.add_argument("--leaderboards", type=str, default="runs/leaderboards", help="folder that gets the records")
    parser.add_argument(
        "--published", type=str, default="leaderboards", help="committed board, merged into the printed table"
    )
    parser.add_argument("--tracking", type=str, default="offline", help="wandb: offline, online or off")
    parser.add_argument("--force", action="store_true", help="repeat finished runs")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    if model_class is not None:
        parser.add_class_arguments(model_class, fail_untyped=True)
    return parser


def model_from(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Find ``--model``; a config file gives the name and its init_args as flags that the user's own override."""
    name = None
    for i, word in enumerate(argv):
        if word == "--model" and i + 1 < len(argv):
            name = argv[i + 1]
        elif word.startswith("--model="):
            name = word.split("=", 1)[1]
    if name is None:
        return None, []
    from bench.core.files import configs_dir

    shipped = configs_dir() / "models" / f"{name}.yaml"
    path = Path(name) if name.endswith((".yaml", ".yml")) else shipped
    if path is not shipped and not path.is_file():
        raise BenchError(f"no such file: {name}")
    if not path.is_file():
        return name, []
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        model, arguments = str(content["class_path"]), dict(content.get("init_args") or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise BenchError(f"{path}: not a model config ({error}). Expected class_path and init_args.") from error
    from bench.models import registry

    return registry.name_of(model), [
        f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in arguments.items()
    ]


def shipped_config(argv: Sequence[str]) -> str | None:
    """Name of the shipped config that ``--model`` names, if it names one: its row is called so."""
    from bench.core.files import configs_dir

    names = [argv[i + 1] for i, word in enumerate(argv[:-1]) if word == "--model"]
    names += [word.split("=", 1)[1] for word in argv if word.startswith("--model=")]
    return names[0] if names and (configs_dir() / "models" / f"{names[0]}.yaml").is_file() else None


def shipped_configs() -> dict[str, str]:
    """Shipped configs, which ``--model`` takes like models: what each is, by its file's first comment line."""
    from bench.core.files import configs_dir

    first = {
        path.stem: path.read_text(encoding="utf-8").split("\n", 1)[0]
        for path in sorted((configs_dir() / "models").glob("*.yaml"))
    }
    return {name: line.removeprefix("#").strip() if line.startswith("#") else "" for name, line in first.items()}


def choice(value: str, options: dict[str, Any], what: str) -> Any:
    """Look a word up, or say which words there are."""
    if value not in options:
        raise unknown(what, value, options)
    return options[value]


def seed_triples(arguments: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Make (split, pretrain, head) seeds of each run: ``--seed`` sets all three, each has a flag of its own."""
    both = seeds(arguments["seed"])
    split = seeds(arguments["split_seed"]) if arguments["split_seed"] else both
    if len(both) > 1 and arguments["split_seed"]:
        raise BenchError("--seed with several seeds and --split-seed cannot be combined.")
    pairs = zip(split, both if len(both) == len(split) else both * len(split), strict=True)
    chosen = [(s, b) for s, b in pairs]
    pretrain, head = arguments["pretrain_seed"], arguments["head_seed"]
    return [(s, b if pretrain is None else pretrain, b if head is None else head) for s, b in chosen]


def split_kind(kind: str | None, file: object) -> str | None:
    """Let ``--split-file`` imply ``--split custom``, and refuse it with any other."""
    if file and kind not in (None, "custom"):
        raise BenchError(f"--split-file goes with --split custom, not with --split {kind}.")
    return "custom" if file else kind
