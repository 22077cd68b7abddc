"""Flags of the command line: parsers that suggest the nearest flag, and a model's own arguments."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from bench.cli.output import format_flags
from bench.core.errors import BenchError, unknown
from bench.core.files import published_boards

if TYPE_CHECKING:
    from bench.core.track import Track
    from bench.runner.model_choice import ModelChoice

#: Adds flags to a parser.
AddFlags: TypeAlias = Callable[[Any], None]
#: How a file of latents is given.
LATENTS = ("--encoder-embeddings", "--embeddings")


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
    known = {option.replace("_", "-") for option in options}  # a model's arguments may be typed either way
    for flag in re.findall(r"(?<!\S)--?[A-Za-z][\w.-]*", message.split("arguments:", 1)[-1]):
        typed = flag.split("=")[0].replace("_", "-")
        near = difflib.get_close_matches(flag.split("=")[0], options, n=1, cutoff=0.5)
        if near and typed not in known:
            hints.append(f"Did you mean '{near[0]}'?")
    text = (
        " ".join([message.strip().rstrip("."), *dict.fromkeys(hints)])
        if not hints
        else f"{message.strip().rstrip('.')}. {hints[0]}"
    )
    return text + ("" if text.endswith("?") else ".")


def add_data_flags(parser: Any, splits: str = "") -> None:
    """Add the flags that name data and split; ``splits`` = what else the split may be."""
    parser.add_argument("--data", default="simulated", help="a data set's name, a card (.yaml) or an .h5ad file")
    parser.add_argument(
        "--split",
        default=None,
        help="simulation, simulation_single, combo_seen0/1/2, single, doubles, doubles:keep_singles=0.1, custom, "
        "unseen_context, few_shot_context:k=5, double_holdout; any with :label_fraction=0.25"
        f"{splits} (default: the data set's own)",
    )
    parser.add_argument("--split-file", default=None, help="JSON with lists train, val, test, for --split custom")


def run_parser(choice: ModelChoice | None, track: Track, description: str, more: AddFlags | None = None) -> Any:
    """Make the parser of a track's verb, with the model's own typed arguments as flat flags.

    Args:
        choice: The model; ``None`` = none was named.
        track: The track; a flag that it has no use for is not offered.
        description: What the verb does.
        more: Adds flags that this verb alone has.
    """
    head = track.takes in ("predictions", "candidates")
    parser = typed_parser(f"bench {track.verb}", description)
    parser.add_argument(
        "--model",
        help="a model's name (bench list models), a config (.yaml with class_path, init_args), or the import path of "
        f"a class of yours{'; several, parted by commas' if head else ''}",
    )
    if choice is None:  # the model that these stand for has them as its own arguments
        latents_flags(parser)
    parser.add_argument("--name", type=str | None, default=None, help="the row's name (default: the model's or file's)")
    add_data_flags(parser)
    if more is not None:
        more(parser)
    which = "split, pretraining and head seeds" if head else "split and pretraining seeds"
    parser.add_argument("--seed", default="1", type=str, help=f"1, 1-3 or 1,2,5: {which}")
    parser.add_argument("--split-seed", type=str, default=None, help="split seeds, where they differ from --seed")
    parser.add_argument("--pretrain-seed", type=int | None, default=None, help="pretraining seed, where it differs")
    if head:
        parser.add_argument("--head-seed", type=int | None, default=None, help="head seed, where it differs")
    # Where there is no choice, a fold is still understood, and refused with the reason.
    folds = "0, 1 or both: which half of the controls models see" if len(track.folds) > 1 else argparse.SUPPRESS
    parser.add_argument("--control-fold", type=str, default="0", help=folds)
    parser.add_argument("--out", type=str, default="runs", help="folder of the runs")
    parser.add_argument("--leaderboards", type=str, default="runs/leaderboards", help="folder that gets the records")
    published_flag(parser)
    if head:
        parser.add_argument(
            "--with-bars",
            action="store_true",
            help="run what the model has to beat too: means, ridge, a constant and a random encoder; in several "
            "contexts the bars of contexts",
        )
        parser.add_argument(
            "--input-cells",
            type=str,
            default=None,
            help="3 or 3,10,50: control cells of each held-out context that models see; a board for each",
        )
    if track.takes == "predictions":
        parser.add_argument("--tracking", type=str, default="offline", help="wandb: offline, online or off")
        parser.add_argument(
            "--log-artifacts", action="store_true", help="wandb keeps the predictions, and with --save the model"
        )
        parser.add_argument("--save", action="store_true", help="keep the fitted model, for 'bench predict'")
    parser.add_argument("--force", action="store_true", help="repeat finished runs")
    format_flags(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    if choice is not None:
        add_model_flags(parser, choice)
    return parser


def typed_parser(prog: str, description: str) -> Any:
    """A parser that takes a class's typed arguments as flags, and suggests the nearest flag."""
    import jsonargparse

    from bench.runner.model_choice import readable

    class _TypedParser(jsonargparse.ArgumentParser):  # type: ignore[misc]  # an untyped base
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise BenchError(_nearest_flags(readable(message), _options(self)))

    class _Help(jsonargparse.DefaultHelpFormatter):  # type: ignore[misc]  # an untyped base
        def _get_type_str(self, action: argparse.Action) -> str | None:
            found: str | None = "path" if action.type is Path else super()._get_type_str(action)
            return found

        def _get_help_string(self, action: argparse.Action) -> str:
            own, whole = action.help or "", super()._get_help_string(action)
            return own if "(default:" in own else str(whole)  # what the default means says more than 'null'

    return _TypedParser(
        prog=prog, description=description, default_env=False, allow_abbrev=False, formatter_class=_Help
    )


def add_model_flags(parser: Any, choice: ModelChoice) -> None:
    """Add a model's own typed arguments, with the defaults of its config where it has one."""
    parser.add_class_arguments(choice.model_class, fail_untyped=True)
    parser.set_defaults(dict(choice.init_args))


def model_named(argv: Sequence[str]) -> str | None:
    """Find what ``--model`` says."""
    names = [argv[i + 1] for i, word in enumerate(argv[:-1]) if word == "--model"]
    names += [word.split("=", 1)[1] for word in argv if word.startswith("--model=")]
    return names[-1] if names else None


def latents_flags(parser: Any) -> None:
    """Add the flags that take latents of one's own encoder instead of a model, for the help text."""
    parser.add_argument(
        LATENTS[0],
        LATENTS[1],
        metavar="FILE",
        help="instead of --model: an h5ad file with a row of latents for each cell, by its barcode ('bench data export "
        "--all' writes the cells)",
    )
    parser.add_argument("--key", help="where in that file the latents are: a key of obsm, or X")
    parser.add_argument("--pretrained-on", help="what that encoder was pretrained on, as its author says")


def with_file_as_model(argv: Sequence[str]) -> list[str]:
    """Name the model that a file of latents stands for, where a command line gives such a file and no other model."""
    words = [f"--encoder_embeddings{word[len(flag) :]}" if (flag := _latents_flag(word)) else word for word in argv]
    given = any(word.partition("=")[0] == "--encoder_embeddings" for word in words)
    return ["--model", "embeddings", *words] if given and model_named(words) is None else words


def _latents_flag(word: str) -> str:
    flag = word.partition("=")[0]
    return flag if flag in LATENTS else ""


def published_flag(parser: Any) -> None:
    """Add the flag that names the published boards."""
    parser.add_argument(
        "--published",
        type=Path,
        default=published_boards(),
        help="published boards, merged into the printed table (default: those of this installation, or "
        "BENCH_LEADERBOARDS)",
    )


def boards_flag(parser: Parser) -> None:
    """Add the flag that names the boards to read and to write."""
    parser.add_argument(
        "--leaderboards",
        type=Path,
        default=published_boards(),
        help="folder of records and CSVs (default: the published boards of this checkout, or BENCH_LEADERBOARDS)",
    )


def folders_flag(parser: Parser) -> None:
    """Add the flag that names where records are read from."""
    parser.add_argument(
        "--leaderboards",
        type=Path,
        nargs="+",
        default=[Path("runs/leaderboards"), published_boards()],
        help="folders of records; of one run id the first folder's wins (default: runs/leaderboards and the published "
        "boards)",
    )


def choice(value: str, options: dict[str, Any], what: str) -> Any:
    """Look a word up, or say which words there are."""
    if value not in options:
        raise unknown(what, value, options)
    return options[value]


def split_kind(kind: str | None, file: object) -> str | None:
    """Let ``--split-file`` imply ``--split custom``, and refuse it with any other."""
    if file and kind is not None and kind.partition(":")[0] != "custom":
        raise BenchError(f"--split-file goes with --split custom, not with --split {kind}.")
    return (kind or "custom") if file else kind
