"""What a bundle says of itself: boards and claims follow from records, and claims are as expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.audit.bundle.source import Source
from bench.audit.report import CLAIM, Check, Report, failed, passed
from bench.core.files import sha256_file
from bench.results import claims, leaderboard


def check(source: Source, summary: Mapping[str, Any]) -> Report:
    """Check a source; every failure names its file."""
    groups = [(track, leaderboard.group(items, lambda _: None)) for track, items in source.records]
    found = [*_boards(source, groups), *_claims(source, groups), *_expected(summary)]
    return Report(tuple(found))


def _boards(source: Source, groups: Any) -> Iterator[Check]:
    wanted = {
        path: text for track, boards in groups for path, text in leaderboard.csvs(source.folder, track, boards).items()
    }
    for path in sorted({*wanted, *leaderboard.present(source.folder)}):
        name = path.relative_to(source.folder).as_posix()
        if path not in wanted:
            yield failed("board follows from its records", name, CLAIM, "no record gives it")
        elif not path.is_file() or path.read_bytes().replace(b"\r\n", b"\n") != wanted[path].encode():
            yield failed("board follows from its records", name, CLAIM, "it is not what the records give")
        else:
            yield passed("board follows from its records", name, sha256_file(path)[:12])


def _claims(source: Source, groups: Any) -> Iterator[Check]:
    for path, (old, new) in claims.again(source.folder, groups).items():
        differ = [a.claim.name for a, b in zip(old.verdicts, new.verdicts, strict=True) if a != b]
        if differ:
            yield failed("claims follow from records", path.name, CLAIM, f"'{differ[0]}' is not what the records say")
        else:
            yield passed("claims follow from records", path.name, f"{len(old.verdicts)} claims")


def _expected(summary: Mapping[str, Any]) -> Iterator[Check]:
    for one in (*summary["findings"], *summary["claims"]):
        if one["expected"] is None:
            continue
        name, said = one["name"], f"{one['value']}, expected {one['expected']}"
        if one["value"] == one["expected"]:
            yield passed("claim is as expected", name, said)
        else:
            yield failed("claim is as expected", name, CLAIM, f"{said}: {one['reason']}")
