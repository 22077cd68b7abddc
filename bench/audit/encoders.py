"""Checks of rows of frozen encoders: what follows from cells, split and seed alone is computed a second time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.audit.compare import ENCODERS, ENCODERS_RUN, EXACT, Tolerance, difference
from bench.audit.records import subject
from bench.audit.report import METRIC, Check, failed, passed
from bench.audit.second import embedded, representation
from bench.audit.second.asked_cells import Asked, Group, Screen, asked
from bench.audit.second.embedded import Embedder
from bench.audit.second.representation import Found
from bench.core.conditions import CONTROL
from bench.data.controls import without_own_controls
from bench.data.task import Part, Task
from bench.results.entries import BoardEntry
from bench.results.tables import ALL

Floats = NDArray[np.float64]
_NAME = "metrics recomputed"
#: What a track must measure for its rows to be judged here.
METRICS = frozenset(ENCODERS)
#: Rows whose embedding follows from cells, split and seeds, by kind of record.
CLOSED = {
    "reference": ("pca", "random", "shuffled"),
    "model": ("identity", "constant_encoder", "noise_encoder", "pca_encoder"),
}
#: Widths that the training of an encoder of principal components chooses among.
WIDTHS = (5, 10, 20, 50)
#: What a probe names where all cells are embedded alike is decided by rounding: its values of single units say nothing.
_PROBES = ("probe_heldout", "across_which")


def closed(entry: BoardEntry) -> bool:
    """Whether a row's embedding follows from cells, split and seeds alone."""
    return entry.track.takes == "encoder" and entry.record.spec.model in CLOSED.get(entry.record.kind, ())


def screen_of(task: Task) -> Screen:
    """The arrays that the second implementation takes."""
    data, split = task.dataset, task.split
    place = {name: i for i, name in enumerate(data.conditions)}
    where = {name: i for i, name in enumerate(data.contexts)}
    left_out = without_own_controls(data)

    def groups(part: Part) -> list[Group]:
        units = task.units_of(part)
        return [Group(place[unit.perturbation], where[unit.context], data.unit_rows(unit)) for unit in units]

    inputs, reference = (
        [np.array(sorted(data.barcode_index[b] for b in pool[name]), dtype=np.int64) for name in data.contexts]
        for pool in (split.input_controls, split.reference_controls)
    )
    return Screen(
        x=data.x,
        perturbation=data.condition.astype(np.int64),
        context=data.context.astype(np.int64),
        batch=data.batch.astype(np.int64),
        train=groups("train"),
        val=groups("val"),
        test=groups("test"),
        trained=[(place[name], rows) for name, rows in task.cells_of("train").items()],
        inputs=inputs,
        reference=reference,
        unlabelled=task.unlabelled_rows,
        own=np.array([name not in left_out for name in data.contexts]),
        by_units=split.units is not None,
        control=place[CONTROL],
        seed=split.seed,
    )


class Judge:
    """Cells that encoders of a task are asked about.

    Args:
        task: The task.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.screen = task, screen_of(task)

    @cached_property
    def asked(self) -> Asked:
        """Who is asked."""
        return asked(self.screen)

    @cached_property
    def _axes(self) -> Embedder:
        whole = embedded.reference_axes(self.screen)
        return representation.first_of(whole, representation.chosen_width(self.screen, self.asked, whole))

    @cached_property
    def units(self) -> list[tuple[str, str]]:
        """Perturbation and context of each unit that is asked."""
        data = self.task.dataset
        return [(data.conditions[p], data.contexts[c]) for c, p in self.asked.units]

    def found(self, entry: BoardEntry) -> Found:
        """What is computed of a row of :data:`CLOSED`."""
        shuffled = entry.record.spec.model == "shuffled"
        return representation.found(self.screen, self.asked, self._embedder(entry), shuffled)

    def _embedder(self, entry: BoardEntry) -> Embedder:
        spec = entry.record.spec
        if spec.model in ("pca", "shuffled"):
            return self._axes
        if spec.model == "random":
            return embedded.random_axes(len(self.task.dataset.genes), self.screen.seed)
        if spec.model == "identity":
            return embedded.expression()
        if spec.model == "constant_encoder":
            return embedded.nothing()
        if spec.model == "noise_encoder":
            return embedded.noise(spec.pretrain_seed, int(str(spec.arguments["width"])))
        return embedded.encoder_axes(self.screen, spec.pretrain_seed, _components(entry))

    def row(self, entry: BoardEntry, what: str) -> Check:
        """Compare values of units and numbers of the run with those computed here."""
        recorded = [(unit.perturbation, unit.context) for unit in entry.values.task.units[ALL]]
        try:
            if odd := set(recorded) ^ set(self.units):
                return failed(_NAME, what, METRIC, f"{len(odd)} units are not those that its split and seed give")
            found = self.found(entry)
        except (KeyError, ValueError) as error:
            return failed(_NAME, what, METRIC, f"nothing follows from its arguments and cells: {error}")
        worst, n = _compared(entry, found, [self.units.index(unit) for unit in recorded])
        return failed(_NAME, what, METRIC, worst) if worst else passed(_NAME, what, f"{n} values, from cells alone")


def _compared(entry: BoardEntry, found: Found, order: list[int]) -> tuple[str, int]:
    """Say what differs, and how many values were compared.

    Args:
        entry: The row.
        found: What was computed.
        order: Place among its units of each of the row's.
    """
    none, block = np.full(len(order), np.nan), entry.values.field(ALL, "value")
    recorded = {name: block[:, m] for m, name in enumerate(entry.values.metrics)}
    computed = {name: found.values[name][order] if name in found.values else none for name in recorded}
    if "effective_rank" not in found.numbers:
        for name in [name for name in recorded if name.startswith(_PROBES)]:
            recorded[name], computed[name] = (_mean(each[name]) for each in (recorded, computed))
    for name in found.doubt.keys() & recorded.keys():
        if len(recorded[name]) == len(order):
            computed[name] = _nearest(recorded[name], computed[name], *(each[order] for each in found.doubt[name]))
    worst, n = difference(recorded, computed, ENCODERS)
    names = entry.track.numbers
    stated = {name: _one(entry.record.numbers.get(name)) for name in names}
    again = {name: _one(found.numbers.get(name)) for name in names}
    for name in found.doubt.keys() & again.keys() - found.values.keys():
        again[name] = _nearest(stated[name], again[name], *found.doubt[name])
    also, m = difference(stated, again, dict.fromkeys(names, Tolerance(EXACT, EXACT)) | ENCODERS_RUN)
    return worst or also, n + m


def _components(entry: BoardEntry) -> int:
    """Width of an encoder of principal components: where training chose it, as the record says."""
    asked = int(str(entry.record.spec.arguments["components"]))
    said = int(entry.record.numbers.get("width") or 0)
    return asked or (said if said in WIDTHS else WIDTHS[-1])


def _nearest(recorded: Floats, computed: Floats, least: Floats, largest: Floats) -> Floats:
    """Of all that rounding may give, what is nearest to what is recorded; as computed where nothing is recorded."""
    return np.asarray(np.where(np.isfinite(recorded), np.clip(recorded, least, largest), computed))


def _mean(values: Floats) -> Floats:
    known = values[np.isfinite(values)]
    return np.array([known.mean() if len(known) else np.nan])


def _one(number: float | None) -> Floats:
    return np.array([np.nan if number is None else number])


def look(folder: Path, entries: Sequence[BoardEntry], task: Task) -> Iterator[Check]:
    """Check the records of one task whose embeddings follow from it.

    Args:
        folder: Their leaderboards folder.
        entries: Such as :func:`closed` says, of this data set and split.
        task: The task.
    """
    judge = Judge(task)
    for entry in entries:
        yield judge.row(entry, subject(entry, folder))
