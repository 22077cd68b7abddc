"""From profiles of wells to records: every task, every group, whatever one of them lacks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.core.console import note
from bench.data.profiles.wells import Wells
from bench.results import embeddings, records, store
from bench.results.profiles import Profiles
from bench.results.records import Record
from bench.results.tables import Table
from bench.tracks.matching import record as of_record
from bench.tracks.matching.options import GIVEN, TASKS, Options, options_of
from bench.tracks.matching.output import words_of, write_tables
from bench.tracks.matching.protocol import Evaluation, Question, fitted_on, questions
from bench.tracks.matching.record import spec_of, variant_of
from bench.tracks.matching.track import TRACK

#: What is asked of a track that takes profiles: see :mod:`bench.tracks.registry`.
__all__ = [
    "GIVEN",
    "TASKS",
    "fitted_on",
    "options_of",
    "questions",
    "run_profiles",
    "spec_of",
    "variant_of",
    "words_of",
]


def run_profiles(
    wells: Wells, profiles: Profiles, options: Options, asked: Sequence[Question], out: Path, leaderboards: Path
) -> list[Path]:
    """Evaluate profiles, write a record for each question, and the tables of all of them.

    Args:
        wells: Profiles of an experiment.
        profiles: Who made them.
        options: How they are corrected and judged.
        asked: From :func:`bench.tracks.matching.protocol.questions`.
        out: Folder of the runs; records go to ``<out>/<run_id>/profiles.json``, tables to ``<out>/profiles/``.
        leaderboards: Folder that gets a copy of the records, and like ``out`` the embedding that they were made from.

    Returns:
        The records' paths, in the order of the questions.

    Raises:
        BenchError: copairs is not installed, or a folder cannot be written.
    """
    begin = time.perf_counter()
    evaluation = Evaluation(wells, options)
    corrected = evaluation.corrected
    numbers = {
        "n_fitted_on": float(corrected.n_controls) if options.correction != "none" else None,
        "n_components": None if corrected.n_components is None else float(corrected.n_components),
    }
    if wells.source and (kept := embeddings.keep([out, leaderboards], wells.name, wells.x, wells.plate, wells.well)):
        profiles = replace(profiles, inputs={**profiles.inputs, embeddings.HASH: kept})
    paths: list[Path] = []
    fresh: list[tuple[Record, Table | None]] = []
    answers = {}
    for question in asked:
        found = evaluation.answer(question)
        answers[question] = outcome = replace(found, counts={**found.counts, **numbers})
        if outcome.status:
            note(f"{question.name}: {outcome.status}: {outcome.reason}")
        spent = time.perf_counter() - begin
        begin = time.perf_counter()
        timed = replace(profiles, budget=profiles.budget.model_copy(update={"predict_s": round(spent, 3)}))
        spec = spec_of(wells, question, timed, options)
        made, table = of_record.make(wells, spec, timed, outcome)
        path = out / spec.run_id / of_record.FILE
        records.write(path, made, table)
        paths.append(path)
        fresh.append((made, table if table is None else records.read_table(TRACK, path, made)))
    store.add(leaderboards, TRACK, fresh)
    label = fresh[0][0].spec.label if fresh else profiles.name
    write_tables(out / "profiles" / wells.name, label, profiles, options, answers)
    return paths
