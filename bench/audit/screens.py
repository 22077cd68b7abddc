"""Checks of boards of known latents: each screen drawn again under its data seed, and with it the numbers of rows.

Some rows follow from the screen alone; of learned ones moments of the latents are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bench.audit.compare import LATENTS, MOMENTS, Tolerance, difference
from bench.audit.records import nothing_kept, subject
from bench.audit.report import HASH, METRIC, Check, failed, passed, skipped
from bench.audit.second import known, moments
from bench.audit.second.known import Screen
from bench.audit.second.tied import OTHERS, SPLIT, Tied
from bench.core.errors import BenchError
from bench.data.known_latents import Problem, load
from bench.results.entries import BoardEntry

_NAME, _RECOMPUTED = "screen drawn again", "metrics recomputed"
_SAID, _AGREE = "data as recorded", "values agree with each other"


def look(
    folder: Path, entries: Sequence[BoardEntry], kept: Mapping[Path, moments.Kept] = MappingProxyType({})
) -> Iterator[Check]:
    """Check the records of every screen.

    Args:
        folder: Their leaderboards folder.
        entries: Those of tracks that take latents.
        kept: Moments of latents, by file of a board.
    """
    for (dataset, seed), of_screen in groupby(sorted(entries, key=_key), key=_key):
        same, what = list(of_screen), f"{dataset} data seed {seed}"
        try:
            problem = load(dataset, seed)
        except BenchError as error:
            yield skipped(_NAME, what, " ".join(str(error).split()))
            continue
        wrong = [entry for entry in same if not _is_of(entry, problem)]
        for entry in wrong:
            yield failed(_NAME, subject(entry, folder), HASH, f"made from other cells than {what} has here")
        if not wrong:
            yield passed(_NAME, what, f"{problem.split_id}, the same for {len(same)} records")
        for entry in same:
            if why := _says(entry, problem):
                yield failed(_SAID, subject(entry, folder), HASH, why)
        drawn = screen_of(problem)
        tied = Tied(drawn)
        odd = {subject(entry, folder): why for entry in same if (why := tied.odd(entry.record.numbers))}
        yield from (failed(_AGREE, of, METRIC, why) for of, why in odd.items())
        if not odd:
            yield passed(_AGREE, what, f"{len(same)} records")
        for entry in same:
            there = kept[entry.path].runs if entry.path in kept else {}
            yield _row(entry, drawn, folder, there.get(entry.record.run_id))
    yield from _rows(folder, entries)


def _says(entry: BoardEntry, problem: Problem) -> str:
    """What a record says of its screen that is not so, in words: which claims it supports follows from it."""
    record = entry.record
    for what, said, true in (
        ("evidence", record.evidence, problem.dataset.evidence),
        ("status", record.status, ""),
        ("warning that nothing can be claimed", record.unanswerable, problem.unanswerable),
    ):
        if said != true:
            return f"its {what} is {said!r}, and that of the screen {true!r}"
    return ""


def _rows(folder: Path, entries: Sequence[BoardEntry]) -> Iterator[Check]:
    """Whether all runs of a row have one width, one kind of answer and one budget, as they have one set of arguments.

    What is kept of a row's first run says so of the others; no run of it was trained longer.
    """

    def row(entry: BoardEntry) -> tuple[str, str]:
        return entry.record.spec.dataset, entry.record.spec.label

    wrong = False
    for _, same in groupby(sorted(entries, key=lambda one: (*row(one), one.record.spec.split_seed)), key=row):
        first, *others = same
        for entry in others:
            odd = [name for name, one in _facts(first).items() if one != _facts(entry)[name]]
            if odd:
                wrong = True
                why = f"its {odd[0]} is {_facts(entry)[odd[0]]}, and {_facts(first)[odd[0]]} under another seed"
                yield failed(_AGREE, subject(entry, folder), METRIC, why)
    if entries and not wrong:
        yield passed(_AGREE, "runs of rows of known latents", f"{len(entries)} records")


def _facts(entry: BoardEntry) -> dict[str, object]:
    """What of a run follows from its row's arguments and the size of the screen."""
    numbers, budget = entry.record.numbers, entry.record.budget
    there = sorted(name for name in (*SPLIT, *OTHERS) if numbers.get(name) is not None)
    spent = {name: getattr(budget, name) for name in ("steps", "cells_seen", "flops", "trials", "parameters")}
    return {"width": numbers.get("width"), "list of numbers": there, **spent}


def screen_of(problem: Problem) -> Screen:
    """The arrays that the second implementation takes."""
    truth, learned = problem.truth, problem.task.dataset
    index = problem.dataset.barcode_index
    rows = np.sort(np.array([index[barcode] for barcode in learned.barcodes.tolist()], dtype=np.int64))
    single = (truth.code[rows] < problem.n_singles) | (truth.code[rows] == problem.control)
    return Screen(
        x=problem.dataset.x,
        code=truth.code,
        z_v=truth.z_v,
        z_i=truth.z_i,
        held=problem.held,
        half=problem.half,
        learned=rows[single],
        mask=truth.effects.mask,
        graph=truth.effects.graph,
        pairs=truth.effects.pairs,
    )


def _row(entry: BoardEntry, screen: Screen, folder: Path, kept: moments.Arrays | None) -> Check:
    """Compare the numbers of a row with those of its latents, or of their moments, computed a second time."""
    what, record = subject(entry, folder), entry.record
    name = record.spec.label
    if name in known.ROWS:
        computed = known.numbers(screen, known.latents(name, screen, record.spec.pretrain_seed))
        worst, n = _compared(entry, computed, LATENTS)
        return failed(_RECOMPUTED, what, METRIC, worst) if worst else passed(_RECOMPUTED, what, f"{n} values")
    if kept is None:
        return nothing_kept(entry, folder)
    worst, n = judged(entry, screen, kept)
    said = f"{n} values; {' and '.join(moments.OF_CELLS)} need single cells"
    return failed(_RECOMPUTED, what, METRIC, worst) if worst else passed(_RECOMPUTED, what, said)


def judged(entry: BoardEntry, screen: Screen, kept: moments.Arrays, share: float = 1.0) -> tuple[str, int]:
    """What of a row's numbers differs from what its moments give, in words, and how many were compared.

    Args:
        entry: Of a track that takes latents.
        screen: Its screen.
        kept: Of its latents.
        share: How much of each tolerance is allowed.
    """
    try:
        return _compared(entry, moments.numbers(screen, kept), MOMENTS, share)
    except moments.Wrong as error:
        return f"kept moments are of no latents of this screen: {error}", 0


def _compared(
    entry: BoardEntry, computed: Mapping[str, float], tolerances: Mapping[str, Tolerance], share: float = 1.0
) -> tuple[str, int]:
    stated = {key: entry.record.numbers.get(key) for key in computed}
    recorded = {key: np.array([np.nan if value is None else value]) for key, value in stated.items()}
    return difference(recorded, {key: np.array([value]) for key, value in computed.items()}, tolerances, share=share)


def _key(entry: BoardEntry) -> tuple[str, int]:
    return entry.record.spec.dataset, entry.record.spec.split_seed


def _is_of(entry: BoardEntry, problem: Problem) -> bool:
    spec, hashes = entry.record.spec, entry.record.hashes
    return (spec.data_hash, spec.split_id, hashes.get("data"), hashes.get("split")) == (
        problem.family,
        problem.split_id,
        problem.dataset.hash,
        problem.split_id,
    )
