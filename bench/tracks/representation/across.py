"""Who is asked about whom where a split holds out contexts: source, validation and target contexts, and their cells.

Nothing is fitted on target contexts but means and spreads of their input controls, which every model sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import CONTROL
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.controls import without_own_controls
from bench.data.heldout import HeldOut, Rows, check_rows, held_out_contexts, subsample
from bench.data.task import Task
from bench.stats.embedding import standardise
from bench.tracks.representation.references import shuffle_within

#: Perturbed cells of source contexts that are looked at, of all units together, and fewest and most of one unit.
SOURCE_CELLS, FEW, MANY = 30_000, 5, 200
#: The same of validation contexts, whose cells choose the strength of penalties, and of target contexts.
VAL_CELLS, TARGET_CELLS = 4_000, 40_000
#: Controls of one context in one role.
CONTROLS = 200
#: What is looked at: perturbed cells, input controls (``_controls``), and controls that no model sees (``_reference``).
ROLES = (
    "source",
    "source_controls",
    "source_reference",
    "val",
    "val_controls",
    "target",
    "target_controls",
    "target_reference",
)


@dataclass(frozen=True, eq=False)
class Cells:
    """Latents and labels of some cells.

    Attributes:
        z: Latents ``[N, D]``.
        condition: Index into the data set's conditions ``[N]``.
        context: Index into its contexts ``[N]``.
        batch: Index into its batches ``[N]``.
    """

    z: Floats
    condition: Rows
    context: Rows
    batch: Rows

    def __len__(self) -> int:
        return len(self.z)

    def take(self, which: NDArray[np.bool_] | Rows) -> Cells:
        """Some of the cells."""
        return Cells(self.z[which], self.condition[which], self.context[which], self.batch[which])


def join(parts: Iterable[Cells]) -> Cells:
    """Put cells one after the other."""
    parts = list(parts)
    return Cells(
        np.concatenate([part.z for part in parts]),
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("condition", "context", "batch")),
    )


@dataclass(frozen=True, eq=False)
class Across:
    """Standardised latents of everything that is asked across contexts.

    Attributes:
        cells: By role: see :data:`ROLES`.
        units: (perturbation, context) of the held-out units, as codes ``[U, 2]``.
        control: Code of the control.
    """

    cells: Mapping[str, Cells]
    units: Rows
    control: int

    def __getitem__(self, role: str) -> Cells:
        return self.cells[role]

    def unit_of(self, cells: Cells) -> Rows:
        """Place of each cell's unit among :attr:`units`; -1 = none ``[N]``."""
        place = {(p, c): i for i, (p, c) in enumerate(self.units.tolist())}
        pairs = zip(cells.condition.tolist(), cells.context.tolist(), strict=True)
        return np.array([place.get(pair, -1) for pair in pairs], dtype=np.int64)

    @property
    def shared(self) -> Rows:
        """Perturbations that are held out in a target context and known from a source context, sorted."""
        return np.intersect1d(np.unique(self["source"].condition), np.unique(self["target"].condition))

    def shuffled(self, seed: int) -> Across:
        """The same with the labels of target cells, controls among them, permuted within context and batch."""
        both = join([self["target"], self["target_reference"]])
        strata = np.unique(np.stack([both.context, both.batch]), axis=1, return_inverse=True)[1].reshape(-1)
        mixed = replace(both, condition=shuffle_within(both.condition, strata, seed))
        control = mixed.condition == self.control
        parts = {"target": mixed.take(~control), "target_reference": mixed.take(control)}
        return replace(self, cells={**self.cells, **parts})


def draw(task: Task, cells: HeldOut, seed: int) -> dict[str, Rows] | None:
    """Draw the cells of each role.

    Args:
        task: The task.
        cells: The held-out cells, whose units are asked where their context is held out.
        seed: Of the draws.

    Returns:
        Row numbers by role; ``None`` where no context is held out, or no other has controls of its own.
    """
    target = held_out_contexts(task)
    own = [name for name in task.dataset.contexts if name not in without_own_controls(task.dataset)]
    train = {unit.context for unit in task.units_of("train")}
    val = {unit.context for unit in task.units_of("val")} - train - set(target)
    roles = {
        "source": [name for name in own if name in train],
        "val": [name for name in own if name in val],
        "target": [name for name in own if name in target],
    }
    rng = np.random.default_rng([seed, 0xAC])
    held = _perturbed(task, (Unit(*unit) for unit in cells.units), roles["target"], TARGET_CELLS, rng)
    if not len(held) or not roles["source"]:
        return None
    check_rows(task, held)
    drawn = {
        "source": _perturbed(task, task.units_of("train"), roles["source"], SOURCE_CELLS, rng),
        "val": _perturbed(task, task.units_of("val"), roles["val"], VAL_CELLS, rng),
        "target": held,
    }
    split = task.split
    for role, pool in (
        ("source_controls", split.input_controls),
        ("source_reference", split.reference_controls),
        ("val_controls", split.input_controls),
        ("target_controls", split.input_controls),
        ("target_reference", split.reference_controls),
    ):
        names = roles[role.partition("_")[0]]
        drawn[role] = _joined([_controls(task, pool[name], rng) for name in names])
    return {role: drawn[role] for role in ROLES}


def _perturbed(task: Task, units: Iterable[Unit], contexts: Iterable[str], most: int, rng: np.random.Generator) -> Rows:
    """Some cells of each unit of some contexts: as many of each, where there are more than ``most``."""
    inside = [unit for unit in sorted(units) if unit.context in set(contexts)]
    share = int(np.clip(most // max(len(inside), 1), FEW, MANY))
    return _joined([subsample(task.dataset.unit_rows(unit), share, rng) for unit in inside])


def _controls(task: Task, barcodes: Iterable[str], rng: np.random.Generator) -> Rows:
    index = task.dataset.barcode_index
    return subsample(np.array(sorted(index[b] for b in barcodes), dtype=np.int64), CONTROLS, rng)


def _joined(parts: list[Rows]) -> Rows:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def arrange(task: Task, drawn: Mapping[str, Rows], z: Mapping[str, Floats], units: Iterable[tuple[str, str]]) -> Across:
    """Standardise latents by source cells and the target's input controls, and put them beside their labels.

    Args:
        task: The task.
        drawn: From :func:`draw`.
        z: Latents of the same rows, by role.
        units: (perturbation, context) of the held-out units.
    """
    dataset = task.dataset
    scale = np.concatenate([z[role] for role in ("source", "source_controls", "target_controls")])
    cells = {
        role: Cells(
            standardise(z[role], scale) if len(rows) else np.empty((0, scale.shape[1])),
            *(codes[rows].astype(np.int64) for codes in (dataset.condition, dataset.context, dataset.batch)),
        )
        for role, rows in drawn.items()
    }
    codes = [(dataset.conditions.index(p), dataset.contexts.index(c)) for p, c in units]
    return Across(cells, np.array(codes, dtype=np.int64).reshape(-1, 2), dataset.conditions.index(CONTROL))
