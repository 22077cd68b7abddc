"""Checks of what is made from records: CSVs byte by byte, verdicts of claims, and claims against their suites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.audit.records import Inspection
from bench.audit.report import CLAIM, HASH, MISSING, Check, failed, passed, skipped
from bench.core.errors import BenchError
from bench.core.track import Track
from bench.results import claims, leaderboard
from bench.results.claims import Claims, Verdict
from bench.results.leaderboard import Groups
from bench.results.tested import ALPHA
from bench.sweep import suite as suites
from bench.sweep.suite import Suite
from bench.tracks import registry


def look(folder: Path, found: Inspection) -> Iterator[Check]:
    """Compare CSVs and claims with what the records give."""
    groups: list[tuple[Track, Groups]] = []
    for track in registry.tracks():
        entries = found.entries.get(track.name, [])
        try:
            groups.append((track, leaderboard.group(entries, lambda text: None)))
        except BenchError as error:
            found.damaged.add(track.name)
            yield failed("records fit together", track.name, HASH, str(error))
            groups.append((track, {}))
    yield from _csvs(folder, found, groups)
    yield from _claims(folder, found, groups)


def _csvs(folder: Path, found: Inspection, groups: list[tuple[Track, Groups]]) -> Iterator[Check]:
    wanted: dict[Path, str] = {}
    for track, boards in groups:
        if track.name in found.damaged:
            yield skipped("CSVs follow from records", track.name, "its records are damaged, see there")
            continue
        try:
            wanted |= leaderboard.csvs(folder, track, boards)
        except BenchError as error:
            found.damaged.add(track.name)
            yield failed("CSVs follow from records", track.name, HASH, str(error))
    for path, text in sorted(wanted.items()):
        short = path.relative_to(folder).as_posix()
        try:
            content = path.read_bytes().replace(b"\r\n", b"\n")  # git on Windows
        except OSError as error:
            yield failed("CSVs follow from records", short, MISSING, f"cannot be read ({error.strerror})")
            continue
        if content == text.encode():
            yield passed("CSVs follow from records", short)
        else:
            yield failed("CSVs follow from records", short, HASH, _first_difference(content, text.encode()))
    if not found.damaged:
        for path in sorted(leaderboard.present(folder) - set(wanted)):
            short = path.relative_to(folder).as_posix()
            yield failed("CSVs follow from records", short, HASH, "no record gives it")


def _first_difference(content: bytes, wanted: bytes) -> str:
    for number, (a, b) in enumerate(zip(content.split(b"\n"), wanted.split(b"\n"), strict=False), 1):
        if a != b:
            name = a.split(b",")[2:3] or [b""]
            row = name[0].decode(errors="replace")[:60]
            return f"line {number} ({row}) is not what the records give"
    return "it has another number of lines than the records give"


def _claims(folder: Path, found: Inspection, groups: list[tuple[Track, Groups]]) -> Iterator[Check]:
    shipped = {name: suites.find(name) for name in suites.names()}
    files = {path: _read(path) for path in sorted(folder.glob(f"{claims.PREFIX}*.json"))}
    for path, content in files.items():
        if isinstance(content, str):
            yield failed("claims as committed", path.name, CLAIM, content)
        elif content.suite not in shipped or path != claims.place(folder, content.suite):
            yield failed("claims as committed", path.name, CLAIM, f"there is no suite '{content.suite}' of that name")
        else:
            yield _as_committed(path, content, shipped[content.suite])
    for name, suite in shipped.items():
        path = claims.place(folder, name)
        if path not in files and suite.published and _told(suite, groups):
            why = f"the suite '{name}' claims something of these rows"
            yield failed("claims as committed", path.name, MISSING, why)
    if found.damaged:
        why = f"records are damaged: {', '.join(sorted(found.damaged))}"
        yield skipped("claims follow from records", "claims", why)
        return
    yield from _verdicts(folder, files, groups)


def _verdicts(folder: Path, files: Mapping[Path, Claims | str], groups: list[tuple[Track, Groups]]) -> Iterator[Check]:
    whole = {path: content for path, content in files.items() if not isinstance(content, str)}
    try:
        made = claims.again(folder, groups, whole)
    except BenchError as error:
        yield failed("claims follow from records", "claims", CLAIM, str(error))
        return
    for path, (old, new) in made.items():
        odd = [a.claim.name for a, b in zip(old.verdicts, new.verdicts, strict=True) if a != b]
        if odd:
            why = f"{len(odd)} verdicts or their numbers are not what the records give, the first of '{odd[0]}'"
            yield failed("claims follow from records", path.name, CLAIM, why)
        elif path.read_bytes().replace(b"\r\n", b"\n") != claims.text(new).encode():
            yield failed("claims follow from records", path.name, CLAIM, "it says the same in other bytes")
        else:
            yield passed("claims follow from records", path.name, f"{len(old.verdicts)} verdicts")


def _read(path: Path) -> Claims | str:
    try:
        return claims.read(path)
    except BenchError as error:
        return str(error)


def seeds_of(suite: Suite, data: str, split: str) -> tuple[int, ...]:
    """Split seeds that a suite runs on a data set and split."""
    blocks = [block for _, block in suite.blocks() if data in block.data]
    return tuple(sorted({seed for block in blocks for seed in block.split_seeds(split)}))


def _as_committed(path: Path, content: Claims, suite: Suite) -> Check:
    """Whether a file of verdicts is about what the suite claims: every claim, by its margin, scope and seeds."""
    name, wanted = "claims as committed", {claim.name: claim for claim in suite.claims}
    there = {one.claim.name: one for one in content.verdicts}
    if lacking := [one for one in wanted if one not in there]:
        return failed(name, path.name, CLAIM, f"the claim '{lacking[0]}' of the suite is not there")
    if len(there) < len(content.verdicts) or set(there) - set(wanted):
        odd = next(iter(set(there) - set(wanted)), "one of them twice")
        return failed(name, path.name, CLAIM, f"a claim that the suite does not make: '{odd}'")
    for claim_name, claim in wanted.items():
        mine = there[claim_name]
        for what, a, b in (
            *((key, getattr(mine.claim, key), value) for key, value in dict(claim).items()),
            ("seeds", mine.seeds, seeds_of(suite, claim.data, claim.split) or mine.seeds),
        ):
            if a != b:
                return failed(name, path.name, CLAIM, f"'{claim_name}': {what} is {a!r}, in the suite {b!r}")
        if odd := _odd_network(mine):
            return failed(name, path.name, CLAIM, f"'{claim_name}': {odd}")
        if claim.expected is not None and claim.expected != mine.verdict:
            why = f"'{claim_name}' is {mine.verdict}, and the suite expects {claim.expected}"
            return failed(name, path.name, CLAIM, why)
    return passed(name, path.name, f"{len(wanted)} claims")


def _odd_network(verdict: Verdict) -> str:
    """What a verdict says of other networks that cannot be, in words: no record of these is kept."""
    seen = set[str]()
    for one in verdict.elsewhere:
        if one.data in seen or not claims.other_network(verdict.claim.data, one.data):
            return f"{one.data} is no other network of {verdict.claim.data}, or is there twice"
        seen.add(one.data)
        if one.p is None or not 0.0 <= one.p <= 1.0 or (one.verdict == "true") != (one.p <= ALPHA):
            return f"on {one.data} it is {one.verdict} with p {one.p}"
    return ""


def _told(suite: Suite, groups: list[tuple[Track, Groups]]) -> bool:
    """Whether all rows of some claim of a suite are there."""
    labels: dict[tuple[str, str], set[str]] = {}
    for _, boards in groups:
        for board, items in boards.items():
            labels.setdefault(board, set()).update(item.record.spec.label for item in items)
    return any(
        {claim.better, *claim.worse} - {"floor"} <= labels.get((claim.data, claim.split), set())
        for claim in suite.claims
    )
