"""``bench profiles``: are replicates, perturbations of one target, and modalities matched by profiles of wells?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cli.flags import Parser, add_model_flags, published_flag, typed_parser
from bench.cli.output import check_formats, format_flags, print_table
from bench.cli.run import underscored

_DESCRIPTION = (
    "Match profiles of wells: replicates against negative controls, perturbations of one target against others, "
    "compounds against genetic perturbations of their targets, in every cell line and at every time point. Rows are "
    "the features themselves, embeddings of any tool, or encoders of this project that are pretrained on all wells "
    "without labels (--encoder; their own flags, such as --epochs, as in 'bench run --model NAME --help')."
)


def _parser() -> Parser:
    parser = Parser(prog="bench profiles", description=_DESCRIPTION)
    add = parser.add_argument
    add("--data", default="simulated_profiles", help="a card's name or file (configs/profiles), or one table of wells")
    add("--task", default=None, help="replicability, target, cross; several parted by commas (default: all)")
    add("--features", default="profile", help="profile, or embedding: <plate>.h5 in place of features")
    add("--embeddings", type=Path, default=None, metavar="FOLDER", help="where these lie (default: with the profiles)")
    add("--encoder", default=None, help="an encoder of this project on the features; several parted by commas")
    bars = "beside them the features, and encoders that learned nothing: constant, noise, random, identity, PCA"
    add("--with-bars", action="store_true", help=bars)
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
    add("--force", action="store_true", help="repeat rows that are finished, and pretrain again")
    format_flags(parser)
    add("--debug", action="store_true", help="show tracebacks")
    return parser


def profiles(argv: Sequence[str]) -> int:
    """``bench profiles``."""
    parser = _parser()
    flags, rest = parser.parse_known_args(list(argv))
    check_formats(vars(flags))
    if rest and not flags.encoder:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    from bench.core.console import note
    from bench.core.files import file_part
    from bench.core.seeds import seeds
    from bench.reports.figures.levels import draw_levels
    from bench.reports.merged import merged
    from bench.reports.text import print_boards
    from bench.results import everything
    from bench.runner import profiles as runner
    from bench.tracks import registry

    track = registry.by_verb("profiles")
    configs = runner.rows(
        track,
        flags.data,
        {name: _plain(value) for name in runner.known(track) if (value := getattr(flags, name)) not in (None, "")},
        {name: _own_flags(name, rest) for name in runner.words(flags.encoder or "")},
        seeds(flags.seed),
        flags.with_bars,
        flags.name or "",
        out=flags.out,
        leaderboards=flags.leaderboards,
        force=flags.force,
    )
    if flags.preset == "cellclip" and flags.universe == "all":
        note("cellclip scores the wells of its label file only; without --universe FILE all wells are scored")
    wells, paths = runner.run_all(track, configs)
    folders = [flags.leaderboards, flags.published]
    in_table = print_table(lambda: merged(folders, paths)[0], vars(flags))
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


def _plain(value: Any) -> Any:
    """A flag's value as a suite would have it."""
    return str(value) if isinstance(value, Path) else value


def _own_flags(name: str, rest: Sequence[str]) -> dict[str, Any]:
    """An encoder's arguments: the flags that are not of this verb."""
    from bench.models import registry
    from bench.runner.model_choice import choose

    choice = choose(name)
    known = registry.arguments(choice.model_class)
    parser = typed_parser(f"bench profiles --encoder {name}", "The encoder's own flags.")
    add_model_flags(parser, choice)
    own = vars(parser.parse_args([underscored(word, known) for word in rest]).as_flat())
    return {key: own[key] for key in known}
