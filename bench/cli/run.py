"""``bench run``, and the way from a command line to the configuration of a run."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.flags import AddFlags, choice, model_named, run_parser, split_kind, with_file_as_model
from bench.cli.output import check_formats, print_result
from bench.core.errors import BenchError
from bench.core.seeds import seeds

if TYPE_CHECKING:
    from bench.runner.config import RunConfig


#: Fields of a configuration that say on what, and where, a model is run.
TASK_FIELDS = ("data", "split", "split_file", "seeds", "folds", "out", "leaderboards", "force", "tracking")


def config_of(
    argv: Sequence[str], verb: str, description: str, more: AddFlags | None = None
) -> tuple[RunConfig, dict[str, Any]] | None:
    """Read a command line that names a model (or a file of latents) and a task.

    Args:
        argv: Words after the verb.
        verb: The verb, for the help text.
        description: What it does.
        more: Adds flags that this verb alone has.

    Returns:
        The configuration and all flags; ``None`` where help was asked for and printed.

    Raises:
        BenchError: No or an unknown model, or arguments that it does not have.
    """
    from bench.tracks import registry as tracks

    track, argv = tracks.by_verb(verb), with_file_as_model(argv)
    name = model_named(argv)
    if name is None or name.startswith("-"):
        if {"-h", "--help"} & set(argv):
            run_parser(None, track, description, more).print_help()
            return None
        raise BenchError(
            f"bench {verb} needs --model NAME ('bench list models' and 'bench list baselines' show them), or latents "
            "of your own encoder by --encoder-embeddings FILE."
        )
    from bench.models import registry
    from bench.runner.config import make_config, seed_triples
    from bench.runner.model_choice import choose

    model = choose(name)
    known = registry.arguments(model.model_class)
    words = [underscored(word, known) for word in argv]
    flags = vars(run_parser(model, track, description, more).parse_args(words).as_flat())
    check_formats(flags)
    split = seeds(flags["split_seed"]) if flags["split_seed"] else ()
    config = make_config(
        model,
        {key: flags[key] for key in known},
        data=flags["data"],
        split=split_kind(flags["split"], flags["split_file"]),
        split_file=flags["split_file"],
        seeds=seed_triples(seeds(flags["seed"]), split, pretrain=flags["pretrain_seed"], head=flags.get("head_seed")),
        folds=choice(flags["control_fold"], {"0": (0,), "1": (1,), "both": (0, 1)}, "control fold"),
        out=flags["out"],
        leaderboards=flags["leaderboards"],
        force=flags["force"],
        save=flags.get("save", False),
        artifacts=flags.get("log_artifacts", False),
        tracking=choice(
            flags.get("tracking", "off"), {word: word for word in ("offline", "online", "off")}, "tracking mode"
        ),
        label=flags["name"],
    )
    return config, flags


def underscored(word: str, names: Container[str]) -> str:
    """Write a model's flag as its argument is called: ``--latent-target`` is ``--latent_target``."""
    flag, equals, value = word.partition("=")
    name = flag.removeprefix("--").replace("-", "_")
    return f"--{name}{equals}{value}" if flag.startswith("--") and name in names else word


def run(argv: Sequence[str]) -> int:
    """``bench run``."""
    found = configs_of(argv, "run", "Fit a model, predict the test conditions, score them, and print the board.")
    if found is None:
        return 0
    from bench.runner.api import run_configs

    configs, flags = found
    print_result(run_configs(configs), Path(flags["published"]), flags)
    return 0


def configs_of(
    argv: Sequence[str], verb: str, description: str, more: AddFlags | None = None
) -> tuple[list[RunConfig], dict[str, Any]] | None:
    """Read a command line that may name several models: their configurations, and those of the bars asked for.

    Args:
        argv: See :func:`config_of`, as all else.
        verb: Of a track that takes predictions.
        description: What the verb does.
        more: Adds flags that this verb alone has.

    Returns:
        The configurations, and the flags of the first model.
    """
    found = [config_of(words, verb, description, more) for words in _one_model_each(argv)]
    asked = [each for each in found if each is not None]
    if not asked:
        return None
    configs = [one for config, flags in asked for one in _by_input_cells(config, flags["input_cells"])]
    flags = asked[0][1]
    return [*_bars(configs), *configs] if flags["with_bars"] else configs, flags


def _one_model_each(argv: Sequence[str]) -> list[list[str]]:
    """The command line once per model: ``--model jepa,mae`` names two. Flags go to all of them."""
    named = model_named(argv) or ""
    names = [name.strip() for name in named.split(",") if name.strip()]
    if len(names) < 2:
        return [list(argv)]
    i = max(i for i, word in enumerate(argv) if word == "--model" or word.startswith("--model="))
    rest = [*argv[:i], *argv[i + (2 if argv[i] == "--model" else 1) :]]
    return [[*rest, "--model", name] for name in dict.fromkeys(names)]


def _bars(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """What the models of these configurations have to beat, on the same tasks: a row each, with its own arguments."""
    from bench.data.load import complete, resolve
    from bench.data.splits.kinds import asked
    from bench.runner.config import make_config
    from bench.runner.model_choice import choose

    named = {config.name for config in configs}
    made = []
    for split in dict.fromkeys(config.split for config in configs):
        first = next(config for config in configs if config.split == split)
        same = {name: getattr(first, name) for name in TASK_FIELDS}
        card, guessed = resolve(first.data)
        bars = asked(split or card.split).kind.bars
        if (card if guessed else complete(card).card).kind == "chemical":
            bars = (*bars, "same_dose_mean")
        made += [make_config(choose(name), {}, **same) for name in bars if name not in named]
    return made


def _by_input_cells(config: RunConfig, counts: str | None) -> list[RunConfig]:
    """A configuration for each number of control cells of held-out contexts that was asked for.

    Raises:
        BenchError: Not a list of whole numbers.
    """
    if counts is None:
        return [config]
    from bench.data.load import resolve
    from bench.data.splits.kinds import INPUT_CELLS, with_option

    split = config.split or resolve(config.data)[0].split
    try:
        wanted = [int(word) for word in counts.split(",")]
    except ValueError:
        raise BenchError(f"--input-cells {counts}: expected whole numbers, as in 3,10,50.") from None
    return [config.model_copy(update={"split": with_option(split, INPUT_CELLS, n)}) for n in wanted]
