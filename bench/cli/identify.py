"""``bench identify``: are a model's latents the true ones; with --check, what data show of the assumptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.flags import Parser
from bench.cli.output import check_formats, format_flags, print_table
from bench.core.errors import BenchError
from bench.core.seeds import seeds

if TYPE_CHECKING:
    from bench.core.track import Track
    from bench.runner.effort import Effort

_DESCRIPTION = (
    "Draw screens of cells whose latents are known, train every row on them, and print how well the true latents are "
    "recovered: matched and judged on other cells, within conditions and pooled, beside closed forms, a look-up of the "
    "perturbation, a random rotation and noise. Intervals are over data seeds. With --check DATA, any data set is "
    "measured for what the theory assumes of it."
)


def _parser() -> Parser:
    parser = Parser(prog="bench identify", description=_DESCRIPTION)
    add = parser.add_argument
    add(
        "--model",
        default="perturbed_vae",
        help="perturbed_vae, jepa, mae, vicreg, ... or a reference; arguments after a colon "
        "(perturbed_vae:ablation=no_align,alpha=0.05); several parted by blanks or semicolons",
    )
    add("--data", default="g1", help="g1, g2, g3, with parameters or not: g1:magnitude=1, g3:rho=0.5 (default: g1)")
    add("--data-seed", default="1-5", help="seeds of the screens, which intervals are over (default: 1-5)")
    add("--seed", default="1", help="training seeds, averaged within a screen (default: 1)")
    add("--steps", type=int, default=1_500, help="optimiser steps of every trained row (default: 1500)")
    add("--hidden", type=int, default=128, help="width of their hidden layers (default: 128)")
    add("--batch-size", type=int, default=128, help="cells of a step (default: 128)")
    add("--against", default="conditional_vae", help="the row that models are compared with")
    add("--no-references", action="store_true", help="the named rows alone, and the one that they are compared with")
    add(
        "--curves",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="also along noise, number of perturbations and hits of each: curves.csv and a figure",
    )
    add("--check", default=None, metavar="DATA", help="measure the assumptions on any data set instead")
    add("--latents", type=int, default=0, help="with --check: latents that perturbations are to be separated into")
    add("--out", type=Path, default=Path("runs"), help="folder of the runs")
    add("--leaderboards", type=Path, default=Path("runs/leaderboards"), help="folder that gets the records")
    add("--force", action="store_true", help="repeat finished runs")
    format_flags(parser)
    add("--debug", action="store_true", help="show tracebacks")
    return parser


def identify(argv: Sequence[str]) -> int:
    """``bench identify``."""
    flags = _parser().parse_args(list(argv))
    given = vars(flags)
    check_formats(given)
    if flags.check is not None:
        return _check(flags.check, flags.latents, given)
    from bench.core.console import note
    from bench.results import everything
    from bench.runner.effort import Effort
    from bench.runner.identify import identify as run
    from bench.runner.latents import beside
    from bench.tracks import registry

    named = flags.model.replace(";", " ").split()
    if not named:
        raise BenchError("--model: no row is named; expected perturbed_vae, say.")
    track = registry.by_verb("identify")
    rows = (*(() if flags.no_references else beside(track)), flags.against, *named)
    effort = Effort(flags.steps, flags.hidden, flags.batch_size)
    found = run(
        track,
        rows,
        flags.data,
        seeds(flags.data_seed),
        seeds(flags.seed),
        effort,
        flags.out,
        flags.leaderboards,
        flags.force,
    )
    label = found.records[0].spec.dataset
    if flags.curves is not None:
        _curves(track, flags, effort, rows)
    everything.regenerate(registry.tracks(), flags.leaderboards)
    table = found.table(flags.against)
    if print_table(lambda: table, given):
        note(str(found.paths[-1]))
        return 0
    registry.evaluation(track).show(table, label, seeds(flags.data_seed), against=flags.against)
    print(found.paths[-1], flush=True)
    return 0


def _curves(track: Track, flags: Any, effort: Effort, rows: Sequence[str]) -> None:
    """Make the boards along each axis, and draw them."""
    from bench.core.console import note
    from bench.core.files import write_text
    from bench.reports.figures.curves import STEM, draw_curves
    from bench.results.generated import plain_csv
    from bench.runner.identify import along
    from bench.runner.identify import identify as run

    where = (seeds(flags.data_seed), seeds(flags.seed), effort, flags.out, flags.leaderboards, flags.force)
    table = along(flags.data, lambda data: run(track, rows, data, *where), flags.against)
    write_text(flags.curves / f"{STEM}.csv", plain_csv(table))
    for path in draw_curves(table, flags.data, flags.curves):
        note(f"figure: {path}")


def _check(data: str, latents: int, flags: Mapping[str, Any]) -> int:
    from bench.core.console import note
    from bench.data.task import load_dataset
    from bench.tracks import registry

    if latents < 0:
        raise BenchError(f"--latents {latents}: expected 0 or more.")
    dataset, evaluation = load_dataset(data), registry.evaluation(registry.by_verb("identify"))
    table = evaluation.check(dataset, latents)
    if not print_table(lambda: table, flags):
        print("\n".join(evaluation.checked(table, dataset.name)))
    if len(dataset.contexts) > 1:
        note(f"{len(dataset.contexts)} contexts: the one with most cells was measured")
    return 0
