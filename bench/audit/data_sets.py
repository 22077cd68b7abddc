"""From a record to the cells that it is about: the data set, and the split drawn again from its kind and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.beyond import Singles
from bench.audit.second.truth import Cells
from bench.core.conditions import CONTROL, constituents, identity_name, single, stratum, treatment_of
from bench.core.errors import BenchError
from bench.core.files import sha256_json
from bench.core.units import Unit
from bench.data.dataset import Dataset
from bench.data.profiles.load import load_wells
from bench.data.profiles.wells import Wells
from bench.data.splits.kinds import asked, kind_of
from bench.data.splits.split import Split, draw
from bench.data.task import Task, load_dataset


@dataclass
class DataSets:
    """Data sets by name, each read or generated once.

    Attributes:
        given: Such as are in memory already.
    """

    given: Mapping[str, Dataset | Wells] = field(default_factory=dict)
    _held: dict[str, Dataset] = field(default_factory=dict)
    _missing: dict[str, str] = field(default_factory=dict)

    def load(self, name: str) -> Dataset | str:
        """A data set, or why it is not at hand."""
        if isinstance(given := self.given.get(name), Dataset):
            return given
        if name in self._missing:
            return self._missing[name]
        if name not in self._held:
            self._held.clear()  # rows come data set by data set: one is in memory at a time
            try:
                self._held[name] = load_dataset(name)
            except (BenchError, OSError) as error:
                self._missing[name] = " ".join(str(error).split())
                return self._missing[name]
        return self._held[name]

    def wells(self, name: str) -> Wells | str:
        """Profiles of wells, or why they are not at hand."""
        if isinstance(given := self.given.get(name), Wells):
            return given
        try:
            return load_wells(name)
        except (BenchError, OSError) as error:
            return " ".join(str(error).split())


def split_of(dataset: Dataset, name: str, seed: int, fold: int) -> Split | str:
    """Draw a split again; a sentence where it cannot be."""
    if name.startswith("custom"):
        return "a custom split: its lists are in a file of its author's"
    try:
        return draw(dataset, kind_of(name), seed, fold)
    except BenchError as error:
        return " ".join(str(error).split())


def problems_of(task: Task) -> list[str]:
    """Say what is wrong with a split: cells in two parts, controls in both pools, kept cells that models see."""
    split, found = task.split, []
    rows = {part: task.rows(part) for part in ("train", "val", "test")}
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        if len(both := np.intersect1d(rows[a], rows[b])):
            found.append(f"{len(both)} cells are both in {a} and in {b}")
    for name in split.input_controls:
        if shared := set(split.input_controls[name]) & set(split.reference_controls.get(name, ())):
            found.append(f"{len(shared)} controls of {name} are both given to models and kept from them")
        if loose := set(split.input_cells[name]) - set(split.input_controls[name]):
            found.append(f"{len(loose)} cells of {name} that models predict from are not among their controls")
    if (kept := task.dataset.kept) is not None and (
        seen := kept.barcode_index.keys() & task.dataset.barcode_index.keys()
    ):
        found.append(f"{len(seen)} cells of singles that are kept from models are among those that they see")
    return found


def cells_of(task: Task) -> Cells:
    """The arrays that the second implementation takes."""
    data, split, units = task.dataset, task.split, task.units
    place = {name: i for i, name in enumerate(data.contexts)}
    pools = [
        [np.array([data.barcode_index[b] for b in pool[name]], dtype=np.int64) for name in data.contexts]
        for pool in (split.input_cells, split.input_controls, split.reference_controls)
    ]
    controls = data.cells_of[CONTROL]
    of_context = [controls[data.context[controls] == c] for c in range(len(data.contexts))]
    wanted = asked(split.kind)
    spared = split.held_out_contexts if wanted.input_cells is not None or wanted.input_depth < 1 else ()
    learned = task.units_of("train")
    return Cells(
        x=data.x,
        units=[data.unit_rows(unit) for unit in units],
        context=np.array([place[unit.context] for unit in units], dtype=np.int64),
        stratum=np.array([stratum(unit.perturbation) for unit in units], dtype=np.str_),
        targets=_targets(data, units),
        perturbation=np.array([identity_name(unit.perturbation) for unit in units], dtype=np.str_),
        subgroup=np.array([split.subgroup_of(unit) for unit in units], dtype=np.str_),
        train=[data.unit_rows(unit) for unit in learned],
        train_context=np.array([place[unit.context] for unit in learned], dtype=np.int64),
        train_perturbation=np.array([identity_name(unit.perturbation) for unit in learned], dtype=np.str_),
        train_stratum=np.array([stratum(unit.perturbation) for unit in learned], dtype=np.str_),
        train_targets=_targets(data, learned),
        inputs=pools[0],
        seen=pools[1],
        reference=pools[2],
        controls=of_context,
        by_barcode=controls,
        replicate=[
            np.setdiff1d(of_context[c], pools[2][c]) if name in spared and len(of_context[c]) else pools[0][c]
            for c, name in enumerate(data.contexts)
        ],
        deep=data.x if data.deep is None else data.deep,
        singles=_singles_of(task),
        seed=split.seed,
        by="_by_dose" if any(treatment_of(unit.perturbation) for unit in units) else "_by_number",
        drawn=int(sha256_json([list(unit) for unit in units])[:8], 16),
    )


def _targets(data: Dataset, units: Sequence[Unit]) -> NDArray[np.bool_]:
    """Genes perturbed in each unit ``[n, G]``."""
    targets = np.zeros((len(units), len(data.genes)), dtype=np.bool_)
    for t, unit in enumerate(units):
        for gene in constituents(unit.perturbation):
            if gene in data.gene_index:
                targets[t, data.gene_index[gene]] = True
    return targets


def _singles_of(task: Task) -> Singles:
    """Train singles of the test units that are combinations of such, at the same dose and time and in their context."""
    data, learned = task.dataset, {unit.identity: unit for unit in task.units_of("train")}
    found: list[list[Unit]] = []
    for unit in task.units:
        genes, treatment = constituents(unit.perturbation), treatment_of(unit.perturbation)
        alone = [Unit(single(gene, treatment), unit.context).identity for gene in genes]
        whole = len(genes) > 1 and all(one in learned for one in alone)
        found.append([learned[one] for one in alone] if whole else [])
    used = sorted({unit for units in found for unit in units})
    place = {unit: i for i, unit in enumerate(used)}
    none = np.empty(0, dtype=np.int64)
    return Singles(
        of=[[place[unit] for unit in units] for units in found],
        rows=[data.unit_rows(unit) for unit in used],
        x=None if data.kept is None else data.kept.x,
        kept=[none if data.kept is None else data.kept.unit_rows(unit) for unit in used],
    )
