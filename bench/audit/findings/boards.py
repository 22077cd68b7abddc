"""Evidence from a leaderboards folder: its records, their splits drawn again, its boards, and its claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.audit.findings.drawn import Drawn
from bench.audit.findings.evidence import Artifact, Contrast, Evidence, TrueComparison
from bench.audit.findings.schema import expected_schema, schema_of
from bench.core.conditions import constituents
from bench.core.track import Track
from bench.results import claims
from bench.results.as_mean import as_mean
from bench.results.claims import Verdict
from bench.results.difference import FLOOR, Comparison
from bench.results.entries import BoardEntry
from bench.results.leaderboard import Groups
from bench.results.rows import anchors, gather, share_tasks
from bench.results.spec import RunSpec
from bench.results.tables import ALL, Table

#: Draws the split of a spec again: the units that a model could learn from or be chosen by, or why there are none.
Learned = Callable[[RunSpec], frozenset[str] | str]


def board_key(track: str, dataset: str, split: str) -> str:
    """What claims call a board: the folder of its records.

    Example:
        >>> board_key("response", "simulated", "doubles")
        'response/simulated__doubles'
    """
    return f"{track}/{dataset}__{split}"


def unit_name(condition: str, context: str) -> str:
    """What a unit is, however its perturbations are ordered.

    Example:
        >>> unit_name("SET+KLF1", "k562")
        'KLF1+SET | k562'
    """
    return f"{'+'.join(sorted(set(constituents(condition))))} | {context}"


def from_boards(
    records: Sequence[tuple[Track, Sequence[BoardEntry]]],
    groups: Sequence[tuple[Track, Groups]],
    verdicts: Sequence[Verdict],
    shown: Mapping[tuple[str, str], int],
    learned: Learned | None = None,
) -> Evidence:
    """Take the evidence of our own boards.

    Args:
        records: All records of each track, outdated ones too; those of profiles of wells and of known latents, which
            know no held-out units, are left out.
        groups: Those that boards are made of.
        verdicts: What its claims files say.
        shown: Fallbacks that a board shows of a row, by (board, row).
        learned: Draws a split again; absent = from the shipped data sets.
    """
    draw = learned or Drawn(unit_name).learned
    found = []
    for track, items in records:
        # Wells have no split, and of known latents every condition is seen: no units are held out, none can leak.
        if track.takes in ("profiles", "latents"):
            continue
        for item in items:
            spec = item.record.spec
            found.append(_artifact(track, board_key(track.name, spec.dataset, spec.split), item, shown, draw))
    comparisons = [one for verdict in verdicts if verdict.verdict == "true" for one in _comparisons(verdict, groups)]
    return Evidence(found, comparisons, partial(_contrasts, groups, {}))


def _artifact(
    track: Track, board: str, item: BoardEntry, shown: Mapping[tuple[str, str], int], draw: Learned
) -> Artifact:
    record, spec, table = item.record, item.record.spec, item.table
    drawn = draw(spec) if table is not None else "its record has no values by unit"
    return Artifact(
        name=record.run_id,
        row=spec.label,
        board=board,
        seed=spec.split_seed,
        track=track.name,
        evidence=record.evidence,
        tested=None if table is None else _tested(table),
        learned=drawn if isinstance(drawn, frozenset) else None,
        missing=drawn if isinstance(drawn, str) else "",
        declared=frozenset() if table is None else _tested(table, table.fallbacks(ALL) > 0),
        shown=shown.get((board, spec.label)) if spec.control_fold == 0 and table is not None else None,
        like_mean=0 if table is None or record.kind == "control" else int(as_mean(track, table, ALL).sum()),
        schema=schema_of(record),
        expected=expected_schema(track, record),
        warnings=_warnings(item),
    )


def _tested(table: Table, among: NDArray[np.bool_] | None = None) -> frozenset[str]:
    units = table.task.units.get(ALL, ())
    kept = units if among is None else [unit for unit, inside in zip(units, among, strict=True) if inside]
    return frozenset(unit_name(unit.perturbation, unit.context) for unit in kept)


def _warnings(item: BoardEntry) -> tuple[str, ...]:
    record = item.record
    found = list(record.doubts)
    if record.git_dirty or record.git_sha is None:
        found.append("nobody can tell by which code it was made" if record.git_sha is None else "uncommitted code")
    if not record.honest:
        found.append(f"controls used: {record.controls_used}")
    return tuple(found)


def _comparisons(verdict: Verdict, groups: Sequence[tuple[Track, Groups]]) -> list[TrueComparison]:
    claim = verdict.claim
    track, _ = claims.track_of(claim, groups)
    worse = tuple(name for name in claim.worse if name != FLOOR)
    return [
        TrueComparison(claim.name, board_key(track.name, claim.data, claim.split), claim.better, worse, claim.subgroup)
    ]


def _contrasts(
    groups: Sequence[tuple[Track, Groups]],
    made: dict[str, Comparison],
    board: str,
    scope: str,
    first: str,
    second: str,
) -> list[Contrast]:
    """Compare two rows by the metrics that rank a board: those of families, else all that are ranked."""
    for track, boards in groups:
        for (dataset, split), items in boards.items():
            if board_key(track.name, dataset, split) != board:
                continue
            if board not in made:
                seeds, rows = gather(items)
                share_tasks(rows, anchors(rows, seeds))
                made[board] = Comparison(rows, seeds)
            if {first, second} <= set(made[board].rows):
                return [_contrast(track, made[board], scope, first, second, name) for name in _ranking(track)]
    return []


def _ranking(track: Track) -> list[str]:
    return list(track.families.values()) or [name for name, m in track.metrics.items() if m.ranked and m.direction]


def _contrast(track: Track, rows: Comparison, scope: str, first: str, second: str, metric: str) -> Contrast:
    gap = rows.difference(first, second, scope, metric, tested=False)
    sign = int(np.sign(gap.mean)) * track.metrics[metric].direction if gap.clear else 0
    return Contrast(metric, sign, gap.mean)
