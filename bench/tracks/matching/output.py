"""Tables of a run that people open first: average precision, mAP, pair counts, pivots, and what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.files import file_part, write_json, write_text
from bench.results.generated import to_csv
from bench.results.profiles import Profiles
from bench.tracks.matching.metrics import NUMBERS
from bench.tracks.matching.options import Options
from bench.tracks.matching.outcome import Outcome
from bench.tracks.matching.protocol import Question
from bench.tracks.matching.record import by_label

#: Files of a row's folder.
FILES = (
    "ap.csv",
    "map.csv",
    "groups.csv",
    "pivot_map_normalised.csv",
    "pivot_map.csv",
    "pivot_found.csv",
    "manifest.json",
)
#: Columns that say whose an average precision is; the numbers follow.
_WHOSE = ("label", "perturbation", "profile_modality", "plate", "well")


def write_tables(
    folder: Path, label: str, profiles: Profiles, options: Options, answers: Mapping[Question, Outcome]
) -> list[Path]:
    """Write a row's tables into ``<folder>/<row>``: see :data:`FILES`.

    ``ap.csv``: a line per profile and label; ``map.csv``: per label; ``groups.csv``: per task and group, with status,
    counts of wells and pairs, and every option; ``pivot_*.csv``: groups against tasks.

    Args:
        folder: Of the data set.
        label: The row's name.
        profiles: Who made the profiles.
        options: How they were corrected and judged.
        answers: What was found, question by question.

    Returns:
        The files.
    """
    place = folder / file_part(f"{label}-seed{profiles.seed}")
    ap = [_named(question, outcome.ap.drop(columns="row", errors="ignore")) for question, outcome in answers.items()]
    labels = [_named(question, by_label(outcome)) for question, outcome in answers.items() if outcome.labels]
    groups = pd.DataFrame([_group(label, profiles, options, *each) for each in answers.items()])
    made = {
        "ap.csv": _whose_first(_joined(ap)),
        "map.csv": _joined(labels),
        "groups.csv": groups,
        "pivot_map_normalised.csv": _pivot(groups, "map_normalised"),
        "pivot_map.csv": _pivot(groups, "map"),
        "pivot_found.csv": _pivot(groups, "found"),
    }
    for name, table in made.items():
        write_text(place / name, to_csv(table))
    manifest = {
        "row": label,
        "seed": profiles.seed,
        "options": asdict(options),
        "arguments": dict(profiles.arguments),
        "questions": [question.name for question in answers],
        "status": {question.name: outcome.status for question, outcome in answers.items() if outcome.status},
        "lines": {name: len(table) for name, table in made.items()},
    }
    write_json(place / "manifest.json", manifest)
    return [place / name for name in FILES]


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    some = [part for part in parts if len(part)]
    return pd.concat(some, ignore_index=True) if some else pd.DataFrame({"task": []})


def _whose_first(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that say whose a line is, before its numbers."""
    of = [name for name in _WHOSE if name in table]
    question = [name for name in ("task", "cell", "modality", "time") if name in table]
    return table[[*question, *of, *(name for name in table if name not in {*question, *of})]]


def words_of(question: Question) -> dict[str, str]:
    """A question as columns; in the task ``cross`` both groups."""
    other = question.other
    return {
        "task": question.task,
        "cell": question.group.cell,
        "modality": question.group.modality if other is None else f"{question.group.modality}-{other.modality}",
        "time": question.group.time if other is None else f"{question.group.time}-{other.time}",
    }


def _named(question: Question, table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**words_of(question))[[*words_of(question), *table.columns]]


def _group(label: str, profiles: Profiles, options: Options, question: Question, outcome: Outcome) -> dict[str, Any]:
    """One line of ``groups.csv``."""
    by = by_label(outcome)
    known = bool(len(by))
    found = outcome.found
    return {
        **words_of(question),
        "row": label,
        "seed": profiles.seed,
        "status": outcome.status or "ok",
        "reason": outcome.reason,
        "n_labels": len(by),
        "map": by["map"].mean() if known else float("nan"),
        "map_normalised": by["map_normalised"].mean() if known else float("nan"),
        "found": by["retrieved"].mean() if known else float("nan"),
        "published_map": float("nan") if found.empty else found["mean_average_precision"].mean(),
        "published_fraction": float("nan") if found.empty else found["retrieved"].mean(),
        **{name: outcome.counts[name] for name in NUMBERS if outcome.counts.get(name) is not None},
        **asdict(options),
    }


def _pivot(groups: pd.DataFrame, value: str) -> pd.DataFrame:
    """Groups against tasks; a cell without a number holds its status."""
    cells = groups[value].map(lambda number: f"{number:.3f}", na_action="ignore").fillna(groups["status"])
    table = groups.assign(cell_text=cells).pivot_table(
        index=["cell", "modality", "time"], columns="task", values="cell_text", aggfunc="first", sort=False
    )
    order = [task for task in ("replicability", "target", "cross") if task in table.columns]
    return table[order].fillna("").reset_index()
