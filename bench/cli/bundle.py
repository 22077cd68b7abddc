"""``bench bundle``: what the boards show, with everything that is needed to check it, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.flags import Parser, boards_flag


def bundle(argv: Sequence[str]) -> int:
    """``bench bundle``."""
    parser = Parser(
        prog="bench bundle",
        description="Write what the boards show into a folder: summary, claims, checks, paper, figures and a manifest. "
        "No training, no network. 'python -I bench/audit/assert_bundle.py FOLDER' checks it.",
    )
    parser.add_argument("--outdir", type=Path, default=Path("outputs/bundle"), help="gets the bundle")
    boards_flag(parser)
    parser.add_argument(
        "--rerun", nargs="+", default=[], metavar="RUN_ID", help="then run these rows again, beside the bundle: rerun/"
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    from bench.audit.bundle.build import build
    from bench.core.console import note

    found = build(options.leaderboards, options.outdir)
    counts = found.counts
    for check in found.checks:
        if check.status == "failed":
            note(f"failed: {check.name}: {check.subject}: {check.detail}")
    note(f"{counts['ok']} checks hold, {counts['failed']} failed, {counts['skipped']} could not be made")
    code = found.exit_code
    if options.rerun:
        from bench.audit.bundle.rerun import rerun

        path, same = rerun(options.rerun, options.leaderboards, options.outdir.parent)
        print(path)
        code = code or (0 if same else 3)
    print(options.outdir)
    return code
