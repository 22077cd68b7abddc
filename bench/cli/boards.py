"""Verbs that read and write whole folders of records: leaderboard, publish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.flags import Parser
from bench.core.errors import BenchError


def leaderboard(argv: Sequence[str]) -> int:
    """``bench leaderboard``."""
    parser = Parser(
        prog="bench leaderboard", description="Records -> CSVs, one per data set and split, and per subgroup."
    )
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="folder of records and CSVs")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a CSV differs from its records")
    parser.add_argument("--quiet", action="store_true", help="print no tables")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    from bench.core.console import note
    from bench.reports.text import show
    from bench.results import claims
    from bench.results import leaderboard as boards
    from bench.results.board import board
    from bench.tracks.representation import board as frozen

    folder = options.leaderboards
    if not folder.is_dir():
        raise BenchError(f"no such folder: {folder}")
    if options.check:
        note(f"{boards.check(folder) + frozen.check(folder)} CSVs equal what the records give")
        if checked := claims.check(folder):
            note(f"{checked} files of claims say what the records say")
        return 0
    found = boards.group(boards.collect([folder]))
    changed = [*boards.regenerate(folder), *frozen.regenerate(folder), *claims.regenerate(folder)]
    for items in found.values() if not options.quiet else ():
        table = board(items)
        if not table.empty:
            used = sorted({i.record.spec.split_seed for i in items if i.record.spec.control_fold == 0})
            show(table, [item.record for item in items if item.record.spec.control_fold == 0], used)
    note(f"{len(changed)} files changed" if changed else "no file changed")
    for path in changed:
        print(path)
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
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="folder that gets them")
    parser.add_argument(
        "--force", action="store_true", help="replace a published record that differs, remove one that is outdated"
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    if bool(options.run_ids) == bool(options.suite):
        raise BenchError("bench publish needs run ids, or --suite NAME.")
    from bench.runner.publish import publish as copy_records

    run_ids = _run_ids(options.suite, options.source) if options.suite else options.run_ids
    for line in copy_records(run_ids, options.source, options.leaderboards, options.force):
        print(line)
    if options.suite:
        _publish_claims(options.suite, options.source, options.leaderboards)
    return 0


def _run_ids(name: str, source: Path) -> list[str]:
    """The run ids of a suite's records.

    Raises:
        BenchError: Some are not there.
    """
    from bench.sweep import suite as suites
    from bench.sweep.plan import folders, plan

    jobs = plan(suites.find(name), folders(source.parent, source))
    kinds = {"run": "records", "frozen": "frozen"}
    there = {kind: {path.stem for path in (source / folder).glob("*/*/*.json")} for kind, folder in kinds.items()}
    missing = [job for job in jobs if job.spec.run_id not in there[job.verb]]
    if missing:
        raise BenchError(
            f"{len(missing)} of the {len(jobs)} runs of suite '{name}' are not in {source}, the first "
            f"{missing[0].row} | {missing[0].task}. Run 'bench sweep {name}' first."
        )
    return list(dict.fromkeys(job.spec.run_id for job in jobs))


def _publish_claims(name: str, source: Path, target: Path) -> None:
    """Evaluate a suite's claims on the published records."""
    from bench.results import claims
    from bench.sweep import suite as suites

    path = claims.place(source, suites.find(name).name)
    if path.is_file():
        there = claims.read(path)
        claims.write(target, there.suite, there.verdicts)
        claims.regenerate(target)
        print(claims.place(target, there.suite))
