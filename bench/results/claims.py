"""What is claimed of rows, computed from their records: true, false, or not to be said.

How a claim is tested: :mod:`bench.results.tested`. Here all claims of a suite are put together, written and read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.core.door.documents import read_bytes
from bench.core.door.limits import JSON_BYTES
from bench.core.errors import BenchError
from bench.core.files import json_text, write_json
from bench.core.track import Track
from bench.results import leaderboard
from bench.results.by_seed import tested_by_seed
from bench.results.claim import Claim, Value
from bench.results.difference import SKILL, Comparison, Difference
from bench.results.entries import BoardEntry
from bench.results.generated import rounded
from bench.results.rows import Row, anchors, gather, share_tasks
from bench.results.tested import ALPHA, Tested, tested, why_not
from bench.stats.intervals import holm

#: Seeds that a suite runs on each (data set, split).
Seeds = Mapping[tuple[str, str], Sequence[int]]
#: Rows of boards by (track, data set, split, seeds), ready to be compared.
Boards = dict[tuple[str, str, str, tuple[int, ...]], "Board"]
PREFIX = "claims__"


class Board(NamedTuple):
    """Rows of a board, ready to be compared.

    Attributes:
        seeds: Split seeds.
        rows: By label.
        compared: The same by unit; absent where a track's replicates are seeds.
    """

    seeds: list[int]
    rows: dict[str, Row]
    compared: Comparison | None


class Gap(BaseModel):
    """Paired difference of two rows, to six significant digits; ``None`` = undefined.

    Attributes:
        row: The other row.
        mean: Difference of the means.
        low: Lower 95% bound.
        high: Upper 95% bound.
        p: One-sided, of the hypothesis that the claim's row is not better by the margin.
        n: Distinct conditions; seeds where these are the replicates.
        by_seed: The difference under each split seed; where they share conditions, this is no replication.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: str
    mean: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    by_seed: tuple[float | None, ...] = ()


class Elsewhere(BaseModel):
    """The same claim on another generated network, tested alone.

    Attributes:
        data: The data set.
        verdict: ``true`` or ``false``.
        p: Its p there, of that claim alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    verdict: Literal["true", "false"]
    p: float | None


class Verdict(BaseModel):
    """A claim and what the records say of it.

    Attributes:
        claim: What was claimed.
        seeds: Split seeds that every row must have.
        verdict: ``true``, ``false`` or ``not_evaluable``.
        reason: Why it is not true; empty where it is.
        margin: By how much the row had to be better.
        p_holm: Of the claim, adjusted over all claims of the suite that can be evaluated.
        over: What it generalises over, and what it does not.
        differences: To the rows that must be beaten.
        beside: To rows that decide nothing.
        elsewhere: What it is on other networks of the same generator (``<data>_seed<n>``), whose records are not kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: Claim
    seeds: tuple[int, ...]
    verdict: Value
    reason: str = ""
    margin: float = 0.0
    p_holm: float | None = None
    over: str = ""
    differences: tuple[Gap, ...] = ()
    beside: tuple[Gap, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()


class Claims(BaseModel):
    """``claims__<suite>.json``: generated, never edited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suite: str
    verdicts: tuple[Verdict, ...]


def evaluate(
    claims: Sequence[Claim],
    seeds: Seeds,
    groups: Sequence[tuple[Track, leaderboard.Groups]],
    boards: Boards | None = None,
) -> list[Verdict]:
    """Evaluate the claims of a suite together: a claim is true only if it stays clear after Holm over all of them.

    Args:
        claims: What is claimed.
        seeds: Split seeds by (data set, split): a row that lacks one carries no claim.
        groups: Records of each track by board, from :func:`bench.results.leaderboard.group`. A claim is about the
            first track that has its metric.
        boards: Their rows that were compared before, for other claims; those that are compared now are added.

    Raises:
        BenchError: A metric of no track; records that cannot stand in one table.
    """

    def about(claim: Claim) -> tuple[str, str]:
        return claim.data, claim.split

    boards = {} if boards is None else boards
    found: dict[int, Tested] = {}
    for (data, split), same in groupby(sorted(enumerate(claims), key=lambda one: about(one[1])), lambda o: about(o[1])):
        wanted = sorted(set(seeds.get((data, split), ())))
        for i, claim in same:
            track, here = track_of(claim, groups)
            board = (track.name, data, split, tuple(wanted))
            if board not in boards:
                boards[board] = _board(track, here.get((data, split), []), wanted)
            found[i] = _tested(track, claim, boards[board])
    adjusted = holm([found[i].p for i in range(len(claims))])
    verdicts = [_verdict(found[i], adjusted[i]) for i in range(len(claims))]
    others = _elsewhere(claims, groups)
    return [_with_others(one, tuple(others[i])) for i, one in enumerate(verdicts)]


def _board(track: Track, items: Sequence[BoardEntry], wanted: Sequence[int] | None = None) -> Board:
    """Rows under the seeds wanted, or those of their board, ready to be compared."""
    known, rows = gather(items, wanted)
    seeds = known if wanted is None else list(wanted)
    if track.board is not None:
        return Board(seeds, rows, None)
    share_tasks(rows, anchors(rows, seeds))
    return Board(seeds, rows, Comparison(rows, seeds))


def _tested(track: Track, claim: Claim, board: Board) -> Tested:
    if board.compared is None:
        return tested_by_seed(track, claim, board.seeds, board.rows)
    return tested(track, claim, board.seeds, board.rows, board.compared)


def _with_others(one: Verdict, elsewhere: tuple[Elsewhere, ...]) -> Verdict:
    """Say on how many networks of a generator a claim was tried, beside what it is there."""
    over = one.over
    if elsewhere:
        over = over.replace("of one data set", f"of one data set, tried on {len(elsewhere)} more of its generator", 1)
    return one.model_copy(update={"elsewhere": elsewhere, "over": over})


def other_network(data: str, name: str) -> bool:
    """Whether a data set is another network of the generator of some data: ``simulated:seed=2`` of ``simulated``."""
    return bool(re.fullmatch(rf"{re.escape(data)}_seed\d+", name))


def _elsewhere(
    claims: Sequence[Claim], groups: Sequence[tuple[Track, leaderboard.Groups]]
) -> dict[int, list[Elsewhere]]:
    """Test claims on other networks of the same generator, where there are records of both rows."""
    out: dict[int, list[Elsewhere]] = {i: [] for i in range(len(claims))}
    boards: dict[tuple[str, str, str], Board] = {}
    for i, claim in enumerate(claims):
        track, here = track_of(claim, groups)
        for data, split in sorted(here):
            if split != claim.split or not other_network(claim.data, data):
                continue
            if (track.name, data, split) not in boards:
                boards[track.name, data, split] = _board(track, here[data, split])
            found = _tested(track, claim, boards[track.name, data, split])
            if not found.reason:
                verdict: Literal["true", "false"] = "true" if found.p <= ALPHA else "false"
                out[i].append(Elsewhere(data=data, verdict=verdict, p=_written(found.p)))
    return out


def track_of(claim: Claim, groups: Sequence[tuple[Track, leaderboard.Groups]]) -> tuple[Track, leaderboard.Groups]:
    """The track that a claim is about, and its boards.

    Raises:
        BenchError: No track has its metric.
    """
    for track, here in groups:
        if claim.metric in track.metrics or (claim.metric == SKILL and track.claims_skill):
            return track, here
    raise BenchError(f"claim '{claim.name}': no track has the metric '{claim.metric}'.")


def _verdict(found: Tested, adjusted: float) -> Verdict:
    """Decide by the numbers that are written: rounding must decide no claim."""
    claim, p_holm = found.claim, _written(adjusted)
    verdict: Value = "not_evaluable"
    reason = found.reason
    if not reason:
        verdict = "true" if p_holm is not None and p_holm <= ALPHA else "false"
        reason = "" if verdict == "true" else why_not(found)
    return Verdict(
        claim=claim,
        seeds=found.seeds,
        verdict=verdict,
        reason=reason,
        margin=found.margin,
        p_holm=p_holm,
        over=found.over,
        differences=tuple(_gap(name, one, found) for name, one in found.gaps.items()),
        beside=tuple(_gap(name, one, found) for name, one in found.beside.items()),
    )


def _gap(row: str, gap: Difference, found: Tested) -> Gap:
    return Gap(
        row=row,
        mean=_written(gap.mean),
        low=_written(gap.low),
        high=_written(gap.high),
        p=_written(gap.beyond(found.margin, found.sign)),
        n=gap.n,
        by_seed=tuple(_written(value) for value in gap.by_seed),
    )


def _written(value: float) -> float | None:
    return rounded(value) if math.isfinite(value) else None


def place(folder: Path, suite: str) -> Path:
    """Where the claims of a suite belong under a leaderboards folder."""
    return folder / f"{PREFIX}{suite}.json"


def text(claims: Claims) -> str:
    """What a file of claims says, byte for byte."""
    return json_text(claims.model_dump(mode="json"))


def write(folder: Path, suite: str, verdicts: Sequence[Verdict]) -> Path:
    """Write the claims of a suite, unless they stand there already; return the path."""
    path = place(folder, suite)
    made = Claims(suite=suite, verdicts=tuple(verdicts))
    if not path.is_file() or _read_or_none(path) != made:
        write_json(path, made.model_dump(mode="json"))
    return path


def read(path: Path) -> Claims:
    """Read a file of claims.

    Raises:
        BenchError: It is not one.
    """
    try:
        return Claims.model_validate_json(read_bytes(path, JSON_BYTES))
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BenchError(f"{path}: not a file of claims ({reason}). Delete it and run 'bench sweep' again.") from error


def _read_or_none(path: Path) -> Claims | None:
    try:
        return read(path)
    except BenchError:
        return None


def again(
    folder: Path, groups: Sequence[tuple[Track, leaderboard.Groups]], files: Mapping[Path, Claims] | None = None
) -> dict[Path, tuple[Claims, Claims]]:
    """Evaluate the claims that lie in a leaderboards folder by its records: what is there, and what comes out.

    Args:
        folder: Leaderboards folder.
        groups: Its records, as for :func:`evaluate`.
        files: Those files, where they were read already.

    Raises:
        BenchError: Damaged files.
    """
    made, boards = {}, Boards()
    if files is None:
        files = {path: read(path) for path in sorted(folder.glob(f"{PREFIX}*.json"))}
    for path, old in files.items():
        # A board has one list of seeds; all claims are evaluated together, as each counts in the others' p.
        wanted = {(one.claim.data, one.claim.split): one.seeds for one in old.verdicts}
        verdicts = dict(enumerate(evaluate([one.claim for one in old.verdicts], wanted, groups, boards)))
        for i, one in verdicts.items():  # records of other networks are not kept beside those of the boards
            if not one.elsewhere and old.verdicts[i].elsewhere:
                verdicts[i] = _with_others(one, old.verdicts[i].elsewhere)
        made[path] = (old, Claims(suite=old.suite, verdicts=tuple(verdicts[i] for i in range(len(old.verdicts)))))
    return made


def rewrite(found: Mapping[Path, tuple[Claims, Claims]]) -> list[Path]:
    """Write the claims of :func:`again` that differ; return their paths."""
    changed = [path for path, (old, new) in found.items() if old != new]
    for path in changed:
        write_json(path, found[path][1].model_dump(mode="json"))
    return changed


def compare(folder: Path, found: Mapping[Path, tuple[Claims, Claims]]) -> int:
    """Return how many files of claims there are, if they say what their records say.

    Raises:
        BenchError: Naming the first claim that differs.
    """
    for path, (old, new) in found.items():
        for a, b in zip(old.verdicts, new.verdicts, strict=True):
            if a != b:
                raise BenchError(
                    f"{path}: claim '{a.claim.name}' is {a.verdict} there and {b.verdict} by the records, or its "
                    f"numbers differ. Run 'bench leaderboard --leaderboards {folder}'."
                )
    return len(found)
