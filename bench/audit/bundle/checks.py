"""What a bundle says of itself: the quick half of the audit, and whether claims have the value that was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.audit import boards, records
from bench.audit.report import CLAIM, Check, Report, failed, passed, skipped


def check(folder: Path, summary: Mapping[str, Any]) -> Report:
    """Check files, records, CSVs and claims of a leaderboards folder; every failure names its file.

    Computing metrics again from predictions takes minutes: ``bench audit`` does it, and this says that it was not done.
    """
    found = records.look(folder)
    checks = [*found.checks, *boards.look(folder, found), *_expected(summary)]
    long = skipped("metrics recomputed", "records", "not done for a bundle, as it takes minutes: see 'bench audit'")
    return Report((*checks, long))


def _expected(summary: Mapping[str, Any]) -> Iterator[Check]:
    for one in (*summary["findings"], *summary["claims"]):
        if one["expected"] is None:
            continue
        name, said = one["name"], f"{one['value']}, expected {one['expected']}"
        if one["value"] == one["expected"]:
            yield passed("claim is as expected", name, said)
        else:
            yield failed("claim is as expected", name, CLAIM, f"{said}: {one['reason']}")
