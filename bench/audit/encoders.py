"""Checks of rows of frozen encoders, computed a second time.

From cells, split and seed alone where an embedding follows from them, else from kept latents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.audit.compare import (
    ENCODERS,
    ENCODERS_RUN,
    EXACT,
    LATENTS_KEPT,
    LATENTS_KEPT_RUN,
    Tolerance,
    difference,
)
from bench.audit.records import Inspection, subject
from bench.audit.report import METRIC, Check, failed, passed, skipped
from bench.audit.second import embedded, representation
from bench.audit.second.asked_cells import Asked, Group, Screen, asked
from bench.audit.second.embedded import Embedder
from bench.audit.second.representation import Found
from bench.core.conditions import CONTROL
from bench.data.controls import without_own_controls
from bench.data.task import Part, Task
from bench.results import cell_latents
from bench.results.entries import BoardEntry
from bench.results.shifts import HASH
from bench.results.tables import ALL
from bench.runner.kept_predictions import follows

Floats = NDArray[np.float64]
_NAME = "metrics recomputed"
#: What a track must measure for its rows to be judged here.
METRICS = frozenset(ENCODERS)
#: Widths that the training of an encoder of principal components chooses among.
WIDTHS = (5, 10, 20, 50)
#: What a probe names where all cells are embedded alike is decided by rounding: its values of single units say nothing.
_PROBES = ("probe_heldout", "across_which")


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
        """What is computed of a row that :func:`~bench.runner.kept_predictions.follows`."""
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

    def row(self, entry: BoardEntry, what: str, z: Floats | None = None) -> Check:
        """Compare values of units and numbers of the run with those computed here.

        Args:
            entry: The row.
            what: Its name in a report.
            z: Kept latents ``[n, D]``; absent = its embedding follows from the cells.
        """
        worst, n = self.metrics(entry, z)
        of = "from cells alone" if z is None else f"from kept latents of {len(z):,} cells"
        return failed(_NAME, what, METRIC, worst) if worst else passed(_NAME, what, f"{n} values, {of}")

    def metrics(self, entry: BoardEntry, z: Floats | None = None, share: float = 1.0) -> tuple[str, int]:
        """Say what differs (empty = nothing), and how many values were compared.

        Args:
            entry: The row.
            z: Kept latents ``[n, D]``; absent = its embedding follows from the cells.
            share: How much of each tolerance is allowed.
        """
        recorded = [(unit.perturbation, unit.context) for unit in entry.values.task.units[ALL]]
        try:
            if odd := set(recorded) ^ set(self.units):
                return f"{len(odd)} units are not those that its split and seed give", 0
            found = self.found(entry) if z is None else representation.found_in(self.screen, self.asked, z)
        except (KeyError, ValueError) as error:
            return f"nothing follows from its arguments and cells: {error}", 0
        order = [self.units.index(unit) for unit in recorded]
        if z is None:
            return _compared(entry, found, order, ENCODERS, ENCODERS_RUN, share)
        return _compared(entry, found, order, LATENTS_KEPT, LATENTS_KEPT_RUN, share)

    def nothing_kept(self, entry: BoardEntry, what: str) -> Check:
        """Say why a row's metrics cannot be computed again."""
        too_large = cell_latents.too_large(len(self.asked.looked_at), int(entry.record.numbers.get("width") or 0))
        why = too_large or "it is learned, and no latents of this run are kept"
        return skipped(_NAME, what, f"{why}: its sums and chance are checked")


def _compared(
    entry: BoardEntry,
    found: Found,
    order: list[int],
    by_unit: Mapping[str, Tolerance],
    of_run: Mapping[str, Tolerance],
    share: float,
) -> tuple[str, int]:
    """Say what differs, and how many values were compared.

    Args:
        entry: The row.
        found: What was computed.
        order: Place among its units of each of the row's.
        by_unit: What is tolerated of values of units.
        of_run: The same of numbers of the whole run.
        share: How much of it is allowed.
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
    worst, n = difference(recorded, computed, by_unit, share=share)
    names = entry.track.numbers
    stated = {name: _one(entry.record.numbers.get(name)) for name in names}
    again = {name: _one(found.numbers.get(name)) for name in names}
    for name in found.doubt.keys() & again.keys() - found.values.keys():
        again[name] = _nearest(stated[name], again[name], *found.doubt[name])
    also, m = difference(stated, again, dict.fromkeys(names, Tolerance(EXACT, EXACT)) | dict(of_run), share=share)
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


def look(folder: Path, found: Inspection, entries: Sequence[BoardEntry], task: Task) -> Iterator[Check]:
    """Check the records of one task.

    Args:
        folder: Their leaderboards folder.
        found: What of it can be believed.
        entries: Of encoders, on this data set and split.
        task: The task.
    """
    judge = Judge(task)
    for entry in entries:
        record, what, kept = entry.record, subject(entry, folder), found.predictions.get(entry.path)
        if follows(entry):
            yield judge.row(entry, what)
        elif HASH not in record.hashes:
            yield judge.nothing_kept(entry, what)
        elif kept is not None and record.run_id in kept.shifts:
            yield judge.row(entry, what, kept.shifts[record.run_id])
