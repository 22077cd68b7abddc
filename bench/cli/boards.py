"""Verbs that read and write whole folders of records: leaderboard, publish, prune."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.flags import Parser, boards_flag
from bench.cli.output import tell
from bench.core.errors import BenchError
from bench.core.files import refuse_installed

if TYPE_CHECKING:
    from bench.sweep.job import Job


def leaderboard(argv: Sequence[str]) -> int:
    """``bench leaderboard``."""
    parser = Parser(
        prog="bench leaderboard", description="Records -> CSVs, one per data set and split, and per subgroup."
    )
    boards_flag(parser)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a CSV differs from its records")
    parser.add_argument("--quiet", action="store_true", help="print no tables")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    from threadpoolctl import threadpool_limits

    from bench.results import everything  # noqa: F401  what is not loaded yet cannot be limited

    folder = options.leaderboards
    if not folder.is_dir():
        raise BenchError(f"no such folder: {folder}")
    with threadpool_limits(1):  # for numbers of this size, threads only wait for each other
        return _regenerated(folder, options.check, options.quiet)


def _regenerated(folder: Path, check: bool, quiet: bool) -> int:
    """Compare the CSVs with their records, or write them and print the tables."""
    from bench.core.console import note
    from bench.results import everything
    from bench.tracks import registry

    if check:
        csvs, checked = everything.check(registry.tracks(), folder)
        note(f"{csvs} CSVs equal what the records give")
        if checked:
            note(f"{checked} files of claims say what the records say")
        return 0
    refuse_installed(folder)
    from bench.reports.text import show
    from bench.results.board import board

    changed, found = everything.regenerate(registry.tracks(), folder)
    for track, groups in found if not quiet else ():
        for (dataset, _), items in groups.items():
            zero = [item.record for item in items if item.record.spec.control_fold == 0]
            drawn = sorted({record.spec.split_seed for record in zero})
            if track.board and (own := registry.module(track, "table")):
                own.show(track.board([item.record for item in items]), dataset, drawn)
            elif not (table := board(items)).empty:
                show(track, table, zero, drawn)
    note(f"{len(changed)} files changed" if changed else "no file changed")
    for path in changed:
        tell(path)
    return 0


def publish(argv: Sequence[str]) -> int:
    """``bench publish``."""
    parser = Parser(
        prog="bench publish", description="Copy records into the committed boards and regenerate their CSVs."
    )
    parser.add_argument("run_ids", nargs="*", metavar="RUN_ID", help="as 'bench run' prints in the record's name")
    parser.add_argument("--suite", default=None, help="all runs of a suite, and its claims: a name or a file")
    parser.add_argument(
        "--from", dest="source", type=Path, default=Path("runs/leaderboards"), help="folder that holds them"
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=None,
        help="folder of the runs, whose predictions are kept beside the records (default: the parent of --from)",
    )
    boards_flag(parser)
    parser.add_argument(
        "--force", action="store_true", help="replace a published record that differs, remove one that is outdated"
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    if bool(options.run_ids) == bool(options.suite):
        raise BenchError("bench publish needs run ids, or --suite NAME.")
    refuse_installed(options.leaderboards)
    from bench.audit.keeping import Lost
    from bench.runner.publish import publish as copy_records

    jobs = _jobs(options.suite, options.source) if options.suite else []
    run_ids = list(dict.fromkeys(job.spec.run_id for job in jobs)) or options.run_ids
    lost = Lost(options.leaderboards)
    for line in copy_records(run_ids, options.source, options.leaderboards, options.force, options.runs, lost):
        tell(line)
    if options.suite:
        _publish_claims(options.suite, jobs, options.leaderboards)
    return 0


def _jobs(name: str, source: Path) -> list[Job]:
    """The runs of a suite.

    Raises:
        BenchError: The records of some are not there.
    """
    from bench.results.store import collect
    from bench.sweep import suite as suites
    from bench.sweep.plan import folders, plan
    from bench.tracks import registry

    jobs = plan(suites.find(name), folders(source.parent, source))
    there = {t.verb: {one.record.run_id for one in collect(t, [source])} for t in registry.tracks()}
    missing = [job for job in jobs if job.spec.run_id not in there[job.verb]]
    if missing:
        raise BenchError(
            f"{len(missing)} of the {len(jobs)} runs of suite '{name}' are not in {source}, the first "
            f"{missing[0].row} | {missing[0].task}. Run 'bench sweep {name}' first."
        )
    return jobs


def _publish_claims(name: str, jobs: Sequence[Job], target: Path) -> None:
    """Evaluate a suite's claims, as its file has them now, on the published records."""
    from bench.results import claims, everything
    from bench.sweep import suite as suites
    from bench.sweep.plan import seeds_of
    from bench.tracks import registry

    suite = suites.find(name)
    if suite.claims:
        verdicts = claims.evaluate(suite.claims, seeds_of(jobs), everything.read(registry.tracks(), target))
        tell(claims.write(target, suite.name, verdicts))


def prune(argv: Sequence[str]) -> int:
    """``bench prune``."""
    parser = Parser(prog="bench prune", description="Remove records from boards, and regenerate CSVs and claims.")
    parser.add_argument("names", nargs="*", metavar="RUN_ID|ROW", help="records by run id, or all records of a row")
    parser.add_argument(
        "--outdated", action="store_true", help="records of an older data hash, scoring version or model version"
    )
    parser.add_argument("--dry-run", action="store_true", help="name them, remove nothing")
    boards_flag(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    if not options.names and not options.outdated:
        raise BenchError("bench prune needs run ids, rows, or --outdated.")
    if not options.leaderboards.is_dir():
        raise BenchError(f"no such folder: {options.leaderboards}")
    if not options.dry_run:
        refuse_installed(options.leaderboards)
    from bench.core.console import note
    from bench.runner.publish import prune as remove

    lines = remove(options.leaderboards, options.names, options.outdated, options.dry_run)
    for line in lines:
        tell(line)
    note(f"{len(lines)} records {'would be ' if options.dry_run else ''}removed")
    return 0
