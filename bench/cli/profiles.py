"""``bench profiles``: are replicates, perturbations of one target, and modalities matched by profiles of wells?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.flags import Parser, add_model_flags, published_flag, typed_parser
from bench.cli.output import check_formats, format_flags, print_table
from bench.cli.run import underscored
from bench.core.errors import BenchError

if TYPE_CHECKING:
    from bench.data.profiles.load import Asked
    from bench.data.profiles.universe import By
    from bench.data.profiles.wells import Wells
    from bench.runner.config import RunConfig
    from bench.tracks.matching.options import Options
    from bench.tracks.matching.record import Profiles

_DESCRIPTION = (
    "Match profiles of wells: replicates against negative controls, perturbations of one target against others, "
    "compounds against genetic perturbations of their targets, in every cell line and at every time point. Rows are "
    "the features themselves, embeddings of any tool, or encoders of this project that are pretrained on all wells "
    "without labels (--encoder; their own flags, such as --epochs, as in 'bench run --model NAME --help')."
)
#: What stands beside encoders: nothing, chance, the features, and the untrained network.
BARS = ("constant_encoder", "noise_encoder", "random_encoder", "identity", "pca_encoder")


def _parser() -> Parser:
    parser = Parser(prog="bench profiles", description=_DESCRIPTION)
    add = parser.add_argument
    add("--data", default="simulated_profiles", help="a card's name or file (configs/profiles), or one table of wells")
    add("--task", default=None, help="replicability, target, cross; several parted by commas (default: all)")
    add("--features", default="profile", help="profile, or embedding: <plate>.h5 in place of features")
    add("--embeddings", type=Path, default=None, metavar="FOLDER", help="where these lie (default: with the profiles)")
    add("--encoder", default=None, help="an encoder of this project on the features; several parted by commas")
    add("--with-bars", action="store_true", help=f"beside them the features and {', '.join(BARS)}")
    add("--seed", default="1", help="pretraining seeds of encoders: 1, 1-3 or 1,2,5")
    add("--preset", default="stable", help="stable or cellclip: all options below, as the published scripts have them")
    add("--correction", default=None, help="none, kpca, sphering, plate_z: fitted on negative controls only")
    add("--plate-scale", default=None, help="none, or wells: standardise each plate by all of its wells first")
    add("--gate", default=None, help="both, or compound: which modalities must be replicable to be matched")
    add("--aggregation", default=None, help="mean_ap_null, or geomean_p as in earlier versions of copairs")
    add(
        "--controls",
        default=None,
        help="shared, or split: what is fitted, and what is ranked against, on other controls",
    )
    add("--universe", default="all", help="all wells, or a file that lists those that are scored (plate-well-...)")
    add("--universe-by", default=None, help="wells, or accumulated: plates share the positions of all later lists")
    add("--threshold", type=float, default=None, help="a label is found below this q")
    add("--null-size", type=int, default=None, help="random orders that p is taken from")
    add("--batch", default="", help="batches of an experiment, parted by commas (default: those of its card)")
    add("--cell-type", default="", help="only these cell lines, parted by commas")
    add("--time", default="", help="only these time points, parted by commas")
    add("--nan", default="error", choices=("error", "drop"), help="drop: leave out features that are NaN in some well")
    add("--name", default=None, help="the row's name (default: profile, embedding, or the encoder's)")
    add("--out", type=Path, default=Path("runs"), help="folder of the runs; tables and figures in its folder profiles")
    add("--leaderboards", type=Path, default=Path("runs/leaderboards"), help="folder that gets the records")
    published_flag(parser)
    add("--no-figures", action="store_true", help="draw nothing")
    add("--force", action="store_true", help="pretrain again")
    format_flags(parser)
    add("--debug", action="store_true", help="show tracebacks")
    return parser


def profiles(argv: Sequence[str]) -> int:
    """``bench profiles``."""
    parser = _parser()
    flags, rest = parser.parse_known_args(list(argv))
    given = vars(flags)
    check_formats(given)
    if rest and not flags.encoder:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    from bench.core.console import note
    from bench.core.files import file_part
    from bench.data.profiles.load import load_wells
    from bench.reports.figures.levels import draw_levels
    from bench.reports.merged import merged
    from bench.reports.text import print_boards
    from bench.results import everything
    from bench.tracks import registry
    from bench.tracks.matching.protocol import questions
    from bench.tracks.matching.run import run_profiles

    track = registry.by_verb("profiles")
    options, tasks = _options(given), _tasks(flags.task)
    configs = _encoders(given, rest)
    wells = load_wells(flags.data, _asked(given))
    for line in wells.notes:
        note(line)
    asked = questions(wells, tasks, _words(flags.cell_type), _words(flags.time))
    if not asked:
        known = ", ".join(map(str, wells.groups)) or "none"
        raise BenchError(
            f"{flags.data}: nothing is asked for of the groups {known}; check --task, --cell-type, --time."
        )
    paths: list[Path] = []
    for row, made in _rows(wells, given, configs, options):
        paths += run_profiles(row, made, options, asked, flags.out, flags.leaderboards)
    folders = [flags.leaderboards, flags.published]
    in_table = print_table(lambda: merged(folders, paths)[0], given)
    if not in_table:
        print_boards(folders, paths)
    everything.regenerate(registry.tracks(), flags.leaderboards)
    place = flags.out / "profiles" / file_part(wells.name)
    note(f"tables: {place}")
    if not flags.no_figures:
        for path in draw_levels(track, folders, paths, place):
            note(f"figure: {path}")
    if in_table:
        note(str(paths[-1]))
    else:
        print(paths[-1], flush=True)
    return 0


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _tasks(text: str | None) -> tuple[str, ...]:
    """The tasks that were asked for.

    Raises:
        BenchError: None of ours.
    """
    from bench.core.errors import unknown
    from bench.tracks.matching.options import TASKS

    wanted = TASKS if text is None else _words(text)
    for name in wanted:
        if name not in TASKS:
            raise unknown("task", name, TASKS)
    return tuple(wanted)


def _options(flags: dict[str, Any]) -> Options:
    """The preset, with what was given beside it."""
    from bench.core.console import note
    from bench.core.files import sha256_file
    from bench.tracks.matching.options import chosen

    given = {name: value for name, value in flags.items() if name != "universe"}
    if flags["universe"] != "all":
        path = Path(flags["universe"])
        if not path.is_file():
            raise BenchError(f"--universe: no such file: {path}; expected 'all', or a table that lists wells.")
        given["universe"] = sha256_file(path)[:12]
    elif flags["preset"] == "cellclip":
        note("cellclip scores the wells of its label file only; without --universe FILE all wells are scored")
    return chosen(flags["preset"], given, flags["features"])


def _asked(flags: dict[str, Any]) -> Asked:
    """What of the data is read.

    Raises:
        BenchError: Neither features nor embeddings.
    """
    from bench.core.errors import unknown
    from bench.data.profiles.load import Asked

    if flags["features"] not in ("profile", "embedding"):
        raise unknown("kind of features", flags["features"], ("profile", "embedding"))
    by: By = flags["universe_by"] or ("accumulated" if flags["preset"] == "cellclip" else "wells")
    return Asked(flags["features"], flags["embeddings"], _words(flags["batch"]), flags["universe"], by, flags["nan"])


def _encoders(flags: dict[str, Any], rest: Sequence[str]) -> list[RunConfig]:
    """A configuration for each encoder; flags that are not of this verb are the encoders' own."""
    named = _words(flags["encoder"] or "")
    bars = [name for name in BARS if name not in named] if flags["with_bars"] else []
    if not named and not bars:
        return []
    from bench.core.seeds import seeds
    from bench.models import registry
    from bench.runner.config import make_config, seed_triples
    from bench.runner.encoder import check_encoder
    from bench.runner.model_choice import choose, load_class

    made = []
    for name in (*bars, *named):
        choice = choose(name)
        check_encoder(name, load_class(choice.model))
        known = registry.arguments(choice.model_class)
        parser = typed_parser(f"bench profiles --encoder {name}", "The encoder's own flags.")
        add_model_flags(parser, choice)
        words = [] if name in bars else [underscored(word, known) for word in rest]
        own = vars(parser.parse_args(words).as_flat())
        label = {"label": flags["name"]} if flags["name"] and name in named else {}
        made.append(
            make_config(
                choice,
                {key: own[key] for key in known},
                data=flags["data"],
                seeds=seed_triples(seeds(flags["seed"])),
                out=flags["out"],
                leaderboards=flags["leaderboards"],
                force=flags["force"],
                **label,
            )
        )
    return made


def _rows(
    wells: Wells, flags: dict[str, Any], configs: Sequence[RunConfig], options: Options
) -> Iterator[tuple[Wells, Profiles]]:
    """Wells under every kind of profiles that is asked for, and who made them."""
    from bench.tracks.matching.record import Profiles

    if not flags["encoder"] or flags["with_bars"]:
        name = flags["features"] if flags["encoder"] else flags["name"] or flags["features"]
        yield wells, Profiles(name=name)
    if not configs:
        return
    from bench.data.profiles.wells import fitting_controls
    from bench.runner.wells import encode

    fitted = fitting_controls(wells) if options.controls == "split" else wells.control
    for config in configs:
        for _, seed, _ in config.seeds:
            found = encode(wells, config, seed, fitted)
            yield (
                found.wells,
                Profiles(
                    name=config.name,
                    kind=found.kind,
                    version=found.version,
                    arguments=found.arguments,
                    variant=found.variant,
                    seed=seed,
                    budget=found.budget,
                    warnings=found.warnings,
                    inputs=found.inputs,
                    selection=found.selection,
                ),
            )
