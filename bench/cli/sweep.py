"""``bench sweep``: a suite of runs, its boards and its claims."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.flags import Parser, choice, published_flag
from bench.core.errors import BenchError

if TYPE_CHECKING:
    from bench.sweep.job import Job
    from bench.sweep.schedule import Outcome
    from bench.sweep.suite import Suite

_EXAMPLE = """a suite is a file like this one; every entry of runs and frozen is a product:

  description: two closed forms, and an objective with and without a residual
  runs:
    - {models: [train_mean, linear], data: [simulated, norman_slice], seeds: 1-3, control_folds: [0, 1]}
    - {models: jepa, data: simulated, splits: [simulation, doubles], variants: [{}, {residual: none}]}
  frozen:
    - {models: jepa, data: simulated}
  claims:
    - {name: linear_learns, better: linear, worse: train_mean, data: simulated, metric: pearson_delta}

What is finished under --out is skipped; the same command goes on where it was stopped. Exit code 1: a run failed.
"""


def sweep(argv: Sequence[str]) -> int:
    """``bench sweep``."""
    from bench.sweep import suite as suites

    parser = Parser(
        prog="bench sweep",
        description="Do all runs of a suite that are not finished, then print its boards and claims.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suite", metavar="SUITE", help=f"a file, or a shipped name: {', '.join(suites.names())}")
    parser.add_argument("--workers", type=int, default=None, help="runs at once (default: by the number of cores)")
    parser.add_argument("--dry-run", action="store_true", help="print the runs and how they stand; do nothing")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="runs whose row, data, split and seed=N hold all words"
    )
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument(
        "--leaderboards", type=Path, default=Path("runs/leaderboards"), help="folder that gets the records"
    )
    published_flag(parser)
    parser.add_argument("--tracking", default="off", help="wandb: offline, online or off (default)")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    choice(options.tracking, {"offline": "", "online": "", "off": ""}, "tracking mode")
    if options.workers is not None and options.workers < 1:
        raise BenchError(f"--workers {options.workers}: expected 1 or more.")
    suite = suites.find(options.suite)
    from bench.core.console import answer, note
    from bench.sweep import progress
    from bench.sweep.executors.local import default_workers
    from bench.sweep.plan import folders, plan

    count = options.workers or default_workers()
    jobs = plan(suite, folders(options.out, options.leaderboards, options.tracking), options.only)
    finished = [job for job in jobs if job.finished()]
    state = f"suite {suite.name}: {len(jobs)} runs, {len(finished)} finished, {len(jobs) - len(finished)} to do"
    if options.dry_run:
        answer.print(progress.table(jobs, finished))
        note(state)
        return 0
    note(f"{state}, {count} at once" if len(finished) < len(jobs) else state)
    outcomes = _do(jobs, count, options.out)
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    _print_boards([outcome for outcome in outcomes if outcome.record], [options.leaderboards, options.published])
    if suite.claims and options.only:
        note("claims are about the whole suite: not evaluated with --only")
    elif suite.claims:
        print(_claims(suite, jobs, options.leaderboards), flush=True)
    if failed:
        _print_failures(failed)
    return int(bool(failed))


def _do(jobs: Sequence[Job], count: int, out: Path) -> list[Outcome]:
    from bench.core.console import note
    from bench.sweep.executors.local import LocalExecutor
    from bench.sweep.progress import Progress
    from bench.sweep.schedule import run_all

    outcomes: list[Outcome] = []
    try:
        with Progress(len(jobs)) as progress:
            outcomes.extend(run_all(jobs, count, out, progress, LocalExecutor))
    except KeyboardInterrupt:
        done = sum(job.finished() is not None for job in jobs)
        note(f"stopped: {done} of {len(jobs)} runs are finished; the same command does the others")
        raise
    return outcomes


def _print_boards(outcomes: Sequence[Outcome], folders: Sequence[Path]) -> None:
    """Print every board that these runs belong to."""
    from bench.reports.text import print_boards
    from bench.results import everything
    from bench.tracks import registry

    by_data: dict[tuple[str, str], list[Path]] = {}
    for outcome in outcomes:
        assert outcome.record is not None
        by_data.setdefault((outcome.job.verb, outcome.job.spec.dataset), []).append(outcome.record)
    for paths in by_data.values():
        print_boards(folders, paths)
    everything.regenerate(registry.tracks(), folders[0])


def _claims(suite: Suite, jobs: Sequence[Job], leaderboards: Path) -> Path:
    """Evaluate the suite's claims on its own records, print them and write them down."""
    from bench.reports import verdicts as shown
    from bench.results import claims, leaderboard
    from bench.sweep.plan import seeds_of
    from bench.tracks import registry

    groups = []
    for track in registry.tracks():
        own = {job.spec.run_id for job in jobs if job.verb == track.verb}
        found = leaderboard.collect(track, [leaderboards])
        kept = [
            item
            for item in found
            if item.record.run_id in own
            or item.record.kind == "reference"
            or any(claims.other_network(claim.data, item.record.spec.dataset) for claim in suite.claims)
        ]
        groups.append((track, leaderboard.group(kept)))
    verdicts = claims.evaluate(suite.claims, seeds_of(jobs), groups)
    shown.show(verdicts)
    return claims.write(leaderboards, suite.name, verdicts)


def _print_failures(failed: Sequence[Outcome]) -> None:
    from bench.core.console import console
    from bench.sweep.job import command

    console.print()
    console.print(f"{len(failed)} runs failed; the same command tries them again", style="bold red")
    for outcome in failed:
        console.print(f"{outcome.job.row} | {outcome.job.task}: {outcome.reason}", markup=False, soft_wrap=True)
        console.print(f"  log: {outcome.job.log}", markup=False, soft_wrap=True)
        console.print(f"  by hand: {command(outcome.job)}", markup=False, soft_wrap=True)
