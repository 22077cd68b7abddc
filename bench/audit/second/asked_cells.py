"""Which cells a frozen encoder is asked about, drawn a second time from the seed of the split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]
Generator = np.random.Generator

#: Fewest cells of a unit, most of them that are looked at, and of all reference controls.
FEWEST, MOST, MOST_CONTROLS = 30, 200, 2_000
#: Where contexts are held out: cells of all units together, and fewest of the most of one unit.
TOGETHER, AT_LEAST = 10_000, 40
#: Train cells that mean and spread are taken from; train conditions, and cells of each, that are probed.
FOR_SCALE, PROBED, PROBED_CELLS = 5_000, 100, 50
#: Across contexts: perturbed cells of source, validation and target contexts, fewest and most of a unit, and controls.
SOURCE, VAL, TARGET, FEW, MANY, CONTROLS = 30_000, 4_000, 40_000, 5, 200, 200


class Group(NamedTuple):
    """Cells of a perturbation in a context: its number, the context's number, and rows ordered by barcode."""

    perturbation: int
    context: int
    rows: Rows


@dataclass(frozen=True, eq=False)
class Screen:
    """Cells, and who they are. Numbers of perturbations, contexts and batches follow the order of their names.

    Attributes:
        x: log1p expression ``[cells, G]``, CSR.
        perturbation: Of each cell ``[cells]``.
        context: Of each cell ``[cells]``.
        batch: Of each cell ``[cells]``.
        train: Units of a part that have a cell.
        val: The same.
        test: The same.
        trained: Rows of each train perturbation in all its contexts, ordered by barcode.
        inputs: Rows of the controls that models see, by context, ascending.
        reference: Rows of those that no model sees.
        unlabelled: Rows that representations may be learned from beside train cells and input controls.
        own: Whether a context has controls of its own to be measured against ``[contexts]``.
        by_units: Whether the split is one of units, so that contexts may be held out.
        control: Number of the control.
        seed: Of the split.
    """

    x: Any
    perturbation: Rows
    context: Rows
    batch: Rows
    train: Sequence[Group]
    val: Sequence[Group]
    test: Sequence[Group]
    trained: Sequence[tuple[int, Rows]]
    inputs: Sequence[Rows]
    reference: Sequence[Rows]
    unlabelled: Rows
    own: Bools
    by_units: bool
    control: int
    seed: int

    @property
    def places(self) -> Rows:
        """Context and batch of each cell as one number: batches of two contexts are different ones ``[cells]``."""
        return np.asarray(self.context * (int(self.batch.max()) + 1) + self.batch)

    @property
    def train_rows(self) -> Rows:
        """All train cells, ascending."""
        return np.sort(np.concatenate([group.rows for group in self.train]))

    @property
    def apart(self) -> tuple[int, ...]:
        """Contexts with test units and without train units."""
        if not self.by_units:
            return ()
        return tuple(sorted({group.context for group in self.test} - {group.context for group in self.train}))


@dataclass(frozen=True, eq=False)
class Asked:
    """Rows of the cells that are looked at.

    Attributes:
        held: Cells of test units, unit after unit ``[N]``.
        units: (context, perturbation) of each unit, ascending ``[U]``.
        unit: Which of them a cell is of ``[N]``.
        left_out: Test units without enough cells.
        controls: Reference controls.
        scale: Train cells that mean and spread are taken from.
        seen: Train cells that are probed.
        roles: What is asked across contexts, by role; empty where no context is held out.
    """

    held: Rows
    units: tuple[tuple[int, int], ...]
    unit: Rows
    left_out: int
    controls: Rows
    scale: Rows
    seen: Rows
    roles: dict[str, Rows]

    @property
    def rows(self) -> Rows:
        """Every cell that an encoder is given, once, ascending."""
        return np.unique(np.concatenate([self.looked_at, self.scale]))

    @property
    def looked_at(self) -> Rows:
        """The same without those that only mean and spread are taken from."""
        return np.unique(np.concatenate([self.held, self.controls, self.seen, *self.roles.values()]))


def some(rows: Rows, most: int, rng: Generator) -> Rows:
    """At most so many of some rows, which keep their order."""
    if len(rows) <= most:
        return rows
    chosen = set(rng.choice(len(rows), most, replace=False).tolist())
    return np.array([row for i, row in enumerate(rows.tolist()) if i in chosen], dtype=np.int64)


def asked(screen: Screen) -> Asked:
    """Draw all of it.

    Raises:
        ValueError: Nothing is asked of these cells.
    """
    rng, apart = np.random.default_rng([screen.seed, 0xF0]), set(screen.apart)
    measured = {c for c in apart if screen.own[c]}
    most = max(AT_LEAST, min(MOST, TOGETHER // max(len(screen.test), 1))) if measured else MOST
    held, present = dict[tuple[int, int], Rows](), 0
    for context in range(len(screen.own)):
        here = sorted((g for g in screen.test if g.context == context), key=lambda g: g.perturbation)
        enough = [g for g in here if len(g.rows) >= FEWEST]
        present += len(here)
        if len(enough) >= (1 if context in measured else 2):
            held |= {(context, g.perturbation): some(g.rows, most, rng) for g in enough}
    if not held:
        raise ValueError("no context has two test units with enough cells")
    controls = some(np.sort(np.concatenate(list(screen.reference))), MOST_CONTROLS, rng)
    other = np.random.default_rng([screen.seed, 0xE0])
    scale = some(screen.train_rows, FOR_SCALE, other)
    large = [rows for _, rows in sorted(screen.trained, key=lambda one: one[0]) if len(rows) >= FEWEST]
    probed = some(np.arange(len(large)), PROBED, other)
    seen = [some(large[i], PROBED_CELLS, other) for i in probed.tolist()]
    units = tuple(held)
    return Asked(
        held=_joined(held.values()),
        units=units,
        unit=np.repeat(np.arange(len(units)), [len(rows) for rows in held.values()]),
        left_out=present - len(held),
        controls=controls,
        scale=scale,
        seen=_joined(seen),
        roles=_roles(screen, units),
    )


def _roles(screen: Screen, units: Iterable[tuple[int, int]]) -> dict[str, Rows]:
    """Cells of source, validation and target contexts: perturbed, controls that models see, and others."""
    train = {g.context for g in screen.train}
    val = {g.context for g in screen.val} - train - set(screen.apart)
    contexts = {
        role: [c for c in sorted(of) if screen.own[c]]
        for role, of in (("source", train), ("val", val), ("target", set(screen.apart)))
    }
    wanted = {(p, c) for c, p in units}
    held = [g for g in screen.test if (g.perturbation, g.context) in wanted]
    rng = np.random.default_rng([screen.seed, 0xAC])
    target = _perturbed(held, contexts["target"], TARGET, rng)
    if not len(target) or not contexts["source"]:
        return {}
    roles = {"target": target, "source": _perturbed(screen.train, contexts["source"], SOURCE, rng)}
    roles["val"] = _perturbed(screen.val, contexts["val"], VAL, rng)
    for name, of in (
        ("source_controls", screen.inputs),
        ("source_reference", screen.reference),
        ("val_controls", screen.inputs),
        ("target_controls", screen.inputs),
        ("target_reference", screen.reference),
    ):
        roles[name] = _joined([some(of[c], CONTROLS, rng) for c in contexts[name.partition("_")[0]]])
    return roles


def _perturbed(groups: Iterable[Group], contexts: list[int], most: int, rng: Generator) -> Rows:
    """As many cells of each unit in these contexts, perturbation after perturbation."""
    inside = sorted((g for g in groups if g.context in contexts), key=lambda g: (g.perturbation, g.context))
    share = min(MANY, max(FEW, most // max(len(inside), 1)))
    return _joined([some(g.rows, share, rng) for g in inside])


def _joined(parts: Iterable[Rows]) -> Rows:
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])
