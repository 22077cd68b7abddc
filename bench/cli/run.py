"""``bench run``, and the way from a command line to what is to be run."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.flags import choice, model_from, run_parser, seed_triples, shipped_config, split_kind
from bench.core.errors import BenchError, unknown

if TYPE_CHECKING:
    from bench.runner.config import RunConfig


def request_of(argv: Sequence[str], verb: str, description: str) -> tuple[RunConfig, dict[str, Any]] | None:
    """Read a command line that names a model and a task.

    Args:
        argv: Words after the verb.
        verb: The verb, for the help text.
        description: What it does.

    Returns:
        The request and all flags; ``None`` where help was asked for and printed.

    Raises:
        BenchError: No or an unknown model, or arguments that it does not have.
    """

    def parser(model: Any | None) -> Any:
        made = run_parser(model)
        made.prog, made.description = f"bench {verb}", description
        return made

    name, from_config = model_from(argv)
    if name is None or name.startswith("-"):
        if {"-h", "--help"} & set(argv):
            parser(None).print_help()
            return None
        raise BenchError(f"bench {verb} needs --model NAME; 'bench list models' and 'bench list baselines' show them.")
    from bench.models import registry

    model_class = registry.load(name)
    defaults = {key: parameter.default for key, parameter in registry.arguments(model_class).items()}
    words = [_underscored(word, defaults) for word in argv]
    arguments = vars(parser(model_class).parse_args([*from_config, *words]).as_flat())
    resolved = {key: arguments[key] for key in defaults}
    for flag in from_config:  # a config sets the model's arguments, not where a run is written
        key = flag[2:].split("=", 1)[0]
        if key.replace("-", "_") not in defaults:
            raise unknown(f"argument in the init_args of model '{name}':", key, defaults)
    config = shipped_config(argv)
    base = vars(parser(model_class).parse_args(from_config).as_flat()) if config else defaults
    from bench.runner.config import RunConfig

    return RunConfig(
        model=name,
        arguments=resolved,
        variant={key: value for key, value in resolved.items() if value != base[key]},
        data=arguments["data"],
        split=split_kind(arguments["split"], arguments["split_file"]),
        split_file=Path(arguments["split_file"]) if arguments["split_file"] else None,
        seeds=seed_triples(arguments),
        folds=choice(arguments["control_fold"], {"0": (0,), "1": (1,), "both": (0, 1)}, "control fold"),
        out=Path(arguments["out"]),
        leaderboards=Path(arguments["leaderboards"]),
        force=arguments["force"],
        tracking=choice(
            arguments["tracking"], {"offline": "offline", "online": "online", "off": "off"}, "tracking mode"
        ),
        config=config,
    ), arguments


def _underscored(word: str, names: Container[str]) -> str:
    """Write a model's flag as its argument is called: ``--latent-target`` is ``--latent_target``."""
    flag, equals, value = word.partition("=")
    name = flag.removeprefix("--").replace("-", "_")
    return f"--{name}{equals}{value}" if flag.startswith("--") and name in names else word


def run(argv: Sequence[str]) -> int:
    """``bench run``."""
    found = request_of(argv, "run", "Fit a model, predict the test conditions, score them, and print the board.")
    if found is None:
        return 0
    request, arguments = found
    from bench.reports.text import print_boards
    from bench.runner import pipeline

    paths = pipeline.run(request)
    print_boards([request.leaderboards, Path(arguments["published"])], paths)
    print(paths[-1], flush=True)
    return 0
