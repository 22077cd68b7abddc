"""Checks of what the values of a task say of their units in words and numbers: rows, subgroups, tertiles, cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.audit.report import METRIC, Check, failed, passed
from bench.core.track import Track
from bench.core.units import Unit
from bench.data.task import Task
from bench.results.entries import BoardEntry
from bench.results.tables import ALL, TaskTable

#: What is evaluated by tracks whose units have subgroups, and the metric by whose replicate they are cut in thirds.
PARTED, STRENGTH = ("predictions", "candidates"), "pearson_delta"
#: Thirds of so many units or more are told apart.
LEAST = 9
_NAME = "units recomputed"


def look(entries: Sequence[BoardEntry], task: Task, what: str) -> Iterator[Check]:
    """Check the units of one task, track by track.

    Args:
        entries: Records of the task that have values, of all tracks.
        task: The task.
        what: Its name in a report.
    """
    for entry in {(entry.track.name, entry.record.task): entry for entry in reversed(entries)}.values():
        worst = _odd(entry.track, entry.values.task, task)
        subject, n = f"{what} {entry.track.name}", len(entry.values.task.cells)
        yield failed(_NAME, subject, METRIC, worst) if worst else passed(_NAME, subject, f"{n} rows")


def _odd(track: Track, table: TaskTable, task: Task) -> str:
    """Say what is not as cells and split have it (empty = nothing)."""
    units = table.units[ALL]
    data = task.dataset
    if strange := [u for u in units if u.perturbation not in data.cells_of or u.context not in data.contexts]:
        return f"{strange[0].perturbation} in {strange[0].context} is not in the data"
    parted = track.takes in PARTED
    subgroup = {unit: task.split.subgroup_of(unit) if parted else "" for unit in units}
    rows = [(ALL, *unit) for unit in units]
    if any(metric.by_gallery for metric in track.metrics.values()):
        rows += [(name, *unit) for unit, name in subgroup.items() if name]
    keys = list(zip(*(table.words[name].tolist() for name in ("scope", "condition", "context")), strict=True))
    if keys != sorted(set(rows)):
        return "a unit is there twice, or its rows are not those of the whole and of its subgroup"
    effect = _tertiles(table, task) if STRENGTH in track.metrics else dict.fromkeys(units, "")
    for row, (_, name, context) in enumerate(keys):
        unit = Unit(name, context)
        for word, expected in (("subgroup", subgroup[unit]), ("effect", effect[unit])):
            if (found := table.words[word][row]) != expected:
                return f"{word} of {name} is '{found}', and should be '{expected}'"
        if (cells := len(data.unit_rows(unit))) != table.cells[row]:
            return f"{name} has {cells} cells, and {table.cells[row]} are recorded"
    return ""


def _tertiles(table: TaskTable, task: Task) -> dict[Unit, str]:
    """Which third of the units each is in, by how well half of its cells predict the others.

    That number is the one that is recorded: another check compares it with the cells. Units without one are weakest;
    of several that are as strong, the first of the task is weaker.
    """
    units = table.units[ALL]
    recorded = table.take(table.numbers, ALL, "half_replicate")[:, table.metrics.index(STRENGTH)]
    strength = np.where(np.isfinite(recorded), recorded, -1.0).tolist()
    place = {unit: i for i, unit in enumerate(task.units)}
    weakest = sorted(range(len(units)), key=lambda i: (strength[i], place.get(units[i], -1)))
    thirds = np.array(["effect_low", "effect_mid", "effect_high"] if len(units) >= LEAST else [""] * 3)
    return {units[i]: str(thirds[3 * rank // len(units)]) for rank, i in enumerate(weakest)}
