"""Splits: which conditions a model may learn from, which controls it may see, from which cells it predicts.

A split is a pure function of (units, barcodes, kind, seed, control fold). Who is in which part is said by its kind:
see :mod:`bench.data.splits.kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bench.core.conditions import CONTROL, constituents, identity, single
from bench.core.errors import BenchError, unknown
from bench.core.files import sha256_json
from bench.core.units import Unit
from bench.data.controls import control_pools
from bench.data.dataset import Dataset
from bench.data.splits.kinds import PARTS, VERSION, Drawn, kinds


class Split(BaseModel):
    """Who is train, val and test, and which controls are whose.

    Attributes:
        kind: One of :func:`bench.data.splits.kinds.kinds`.
        seed: Seed of the draw (conditions and controls).
        control_fold: 0 or 1; 1 swaps the two control pools.
        train: Conditions that models learn from (without the control).
        val: Conditions that models may be chosen by.
        test: Conditions that models are evaluated on.
        unused: Conditions in no part.
        subgroups: Test conditions by what of them is in the *final* train set.
        input_controls: Barcodes of the controls that models see, by context.
        reference_controls: Barcodes of the controls that no model sees, by context.
        input_cells: Barcodes of the (at most 256) input controls from which every condition is predicted, by context.
        notes: What a user should know.
        units: (perturbation, context) by part, where a condition is not in the same part in every context; None = it
            is. Then the lists of conditions may overlap.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    seed: int
    control_fold: int
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    unused: tuple[str, ...]
    subgroups: dict[str, tuple[str, ...]]
    input_controls: dict[str, tuple[str, ...]]
    reference_controls: dict[str, tuple[str, ...]]
    input_cells: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()
    units: dict[str, tuple[Unit, ...]] | None = None

    @property
    def split_id(self) -> str:
        """Hash of the full lists (16 hex digits)."""
        left_out = {"notes"} if self.units is not None else {"notes", "units"}
        return sha256_json({"version": VERSION, **self.model_dump(mode="json", exclude=left_out)})[:16]

    def summary(self) -> dict[str, object]:
        """What ``bench data split --json`` prints."""
        pools = {"input": self.input_controls, "reference": self.reference_controls}
        return {
            **self.model_dump(mode="json", include={*PARTS, "unused", "subgroups", "control_fold"}),
            "controls": {name: len({b for part in pool.values() for b in part}) for name, pool in pools.items()},
            "split_id": self.split_id,
        }


def subgroup(condition: str, train: Sequence[str]) -> str:
    """Name what of a test condition was seen: a constituent is seen if its *single* is in the final train set.

    cell-gears labels before it carves out validation, so that some of its ``combo_seen2`` pairs lack a constituent.
    """
    singles = {identity(name) for name in train}
    genes = constituents(condition)
    seen = sum(identity(single(gene)) in singles for gene in genes)
    return "unseen_single" if len(genes) == 1 else f"combo_seen{seen}"


def merge_parts(lists: Mapping[str, Sequence[str]], name_of: Mapping[str, str]) -> tuple[dict[str, list[str]], int]:
    """Give merged conditions one part: test before val before train.

    Args:
        lists: Parts as drawn on the file's strings.
        name_of: Merged name of each string.

    Returns:
        The parts with merged names, and how many conditions had spellings in different parts.
    """
    part_of: dict[str, str] = {}
    moved = set()
    for part in PARTS:  # the later part wins
        for label in lists[part]:
            name = name_of[label]
            if part_of.get(name, part) != part:
                moved.add(name)
            part_of[name] = part
    return {part: sorted(name for name, where in part_of.items() if where == part) for part in PARTS}, len(moved)


def _split_units(dataset: Dataset, drawn: Drawn, kind: str) -> dict[str, tuple[Unit, ...]]:
    """Sort the units of each part; a condition without a context stands for all of its contexts.

    Raises:
        BenchError: A unit in two parts.
    """
    name_of = {identity(name): name for name in dataset.conditions}
    units: dict[str, tuple[Unit, ...]] = {}
    part_of: dict[Unit, str] = {}
    for part in PARTS:
        found: set[Unit] = set()
        for member in drawn.parts[part]:
            whole = [name_of[identity(member if isinstance(member, str) else member.perturbation)]]
            found.update(dataset.units_of(whole) if isinstance(member, str) else [Unit(whole[0], member.context)])
        for unit in found:
            if part_of.setdefault(unit, part) != part:
                text = unit.text(dataset.contexts)
                raise BenchError(f"split '{kind}': '{text}' is both in '{part_of[unit]}' and in '{part}'.")
        units[part] = tuple(sorted(found))
    return units


def draw(
    dataset: Dataset, kind: str = "simulation", seed: int = 1, control_fold: int = 0, custom: Path | None = None
) -> Split:
    """Draw the split of a data set.

    Args:
        dataset: The cells.
        kind: One of :func:`bench.data.splits.kinds.kinds`.
        seed: Seed of the draw.
        control_fold: 0 or 1.
        custom: The JSON file of a ``custom`` split.

    Raises:
        BenchError: Unknown kind, or an empty train or test part.
    """
    if kind not in kinds():
        raise unknown("split", kind, kinds())
    if control_fold not in (0, 1):
        raise BenchError(f"control fold {control_fold}: expected 0 or 1.")
    drawn = kinds()[kind].draw(dataset, seed, custom)
    units = None
    moved = 0
    if any(isinstance(member, Unit) for members in drawn.parts.values() for member in members):
        units = _split_units(dataset, drawn, kind)
        parts = {part: sorted({unit.perturbation for unit in units[part]}) for part in PARTS}
    else:
        by_identity = {identity(name): name for name in dataset.conditions}
        lists = {part: [str(member) for member in drawn.parts[part]] for part in PARTS}
        parts, moved = merge_parts(lists, {label: by_identity[identity(label)] for label in dataset.file_conditions})
    for part in ("train", "test"):
        if not parts[part]:
            sizes = ", ".join(f"{len(parts[name])} {name}" for name in PARTS)
            raise BenchError(
                f"split '{kind}' with seed {seed} has no {part} conditions ({sizes}). Choose another split."
            )
    named = {name for part in parts.values() for name in part}
    unused = tuple(name for name in dataset.conditions if name not in named and name != CONTROL)
    groups: dict[str, list[str]] = {}
    for name in parts["test"]:
        groups.setdefault(subgroup(name, parts["train"]), []).append(name)
    inputs, reference, cells, notes = control_pools(dataset, seed, control_fold)
    notes += drawn.notes
    if moved:
        notes.append(f"{moved} conditions had spellings in different parts: moved to test before val before train")
    if unused and not drawn.complete:
        notes.append(f"{len(unused)} conditions are in no part of this split")
    tested = dataset.units_of(parts["test"]) if units is None else units["test"]
    if small := [unit for unit in tested if len(dataset.unit_rows(unit)) < dataset.min_cells]:
        what = "conditions" if len(dataset.contexts) == 1 else "units (condition and context)"
        notes.append(f"{len(small)} test {what} have under {dataset.min_cells} cells: not evaluated")
    return Split(
        kind=kind,
        seed=seed,
        control_fold=control_fold,
        **{name: tuple(parts[name]) for name in PARTS},
        unused=unused,
        subgroups={name: tuple(groups[name]) for name in sorted(groups)},
        input_controls=inputs,
        reference_controls=reference,
        input_cells=cells,
        notes=tuple(notes),
        units=units,
    )
