"""Verbs that look at what is published again: audit, reproduce."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.cli.flags import Parser, boards_flag

#: A metric that is off: exit code of ``bench reproduce``, as of ``bench audit``.
OFF = 3


def audit(argv: Sequence[str]) -> int:
    """``bench audit``."""
    parser = Parser(
        prog="bench audit",
        description="Check every published file, record, number and claim again. Exit code 0: all of it holds; 2: a "
        "file is not what was written; 3: a metric is not what cells and predictions give; 4: a claim does not follow; "
        "5: something is missing.",
    )
    boards_flag(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON, not as Markdown")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    from bench.audit.verify import verify
    from bench.core.console import note

    report = verify(options.leaderboards)
    print(report.to_json() if options.json else report.to_markdown(), end="")
    n = report.counts
    note(f"{n['ok']} checks hold, {n['failed']} failed, {n['skipped']} could not be made")
    return report.exit_code


def reproduce(argv: Sequence[str]) -> int:
    """``bench reproduce``."""
    parser = Parser(
        prog="bench reproduce",
        description="Run a published record again elsewhere, and print every metric, old and new. Nothing is "
        "overwritten. Exit code 3: some metric is off by more than is tolerated.",
    )
    parser.add_argument("run_id", metavar="RUN_ID", help="as the last column of a CSV names it")
    boards_flag(parser)
    parser.add_argument("--out", type=Path, default=None, help="folder of the new run (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    from bench.audit.reproduce import reproduce as run_again
    from bench.audit.reproduce import to_text
    from bench.core.console import note

    lines = run_again(options.run_id, options.leaderboards, options.out)
    print(json.dumps([asdict(line) | {"within": line.within} for line in lines]) if options.json else to_text(lines))
    off = [line.metric for line in lines if not line.within]
    note(f"{len(off)} of {len(lines)} numbers are off: {', '.join(off[:5])}" if off else "all numbers are reproduced")
    return OFF if off else 0
