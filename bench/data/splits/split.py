"""Splits: which conditions a model may learn from, which controls it may see, from which cells it predicts.

A split is a pure function of (units, barcodes, kind, seed, control fold). Who is in which part is said by its kind:
see :mod:`bench.data.splits.kinds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.core.conditions import CONTROL, bare, constituents, identity, single, treatment_of
from bench.core.errors import BenchError
from bench.core.files import board_name, sha256_json
from bench.core.units import SEPARATOR, Unit
from bench.data.controls import Pools, control_pools
from bench.data.dataset import Dataset
from bench.data.splits.kinds import INPUT_CELLS, INPUT_DEPTH, PARTS, VERSION, asked
from bench.data.splits.parts import by_identity, counted, merge_parts, refuse_parted, split_units, thinned


class Split(BaseModel):
    """Who is train, val and test, and which controls are whose.

    Attributes:
        kind: One of :func:`bench.data.splits.kinds.kinds`, with the options that it was given.
        seed: Seed of the draw (conditions and controls).
        control_fold: 0 or 1; 1 swaps the two control pools.
        train: Conditions that models learn from (without the control).
        val: Conditions that models may be chosen by.
        test: Conditions that models are evaluated on.
        unused: Conditions in no part.
        subgroups: Test conditions by what of them is in the *final* train set; where ``units`` are named, test units
            (``KLF1+ctrl | K562``) by context.
        input_controls: Barcodes of the controls that models see, by context.
        reference_controls: Barcodes of the controls that no model sees, by context.
        input_cells: Barcodes of the (at most 256) input controls from which every condition is predicted, by context.
        notes: What a user should know.
        units: (perturbation, context) by part, where a condition is not in the same part in every context; None = it
            is. Then the lists of conditions may overlap.
        unlabelled: Units whose cells a representation may be learned from, and of which nobody is told what was done to
            them: train units that ``label_fraction`` took the labels of.
        kept: Barcodes of cells of train units that no model sees, by unit (``KLF1+ctrl | K562``): against them it is
            measured what doubles do beyond their singles.
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
    unlabelled: tuple[Unit, ...] = ()
    kept: dict[str, tuple[str, ...]] = {}

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, part))} {part}" for part in PARTS)
        return f"<Split {self.name}, seed {self.seed}, control fold {self.control_fold}: {counts} conditions>"

    __str__ = __repr__

    @property
    def name(self) -> str:
        """What boards and files call it: the kind with its options; custom ones carry a hash of their lists, as each is
        a task of its own.
        """
        if self.kind.partition(":")[0] != "custom":
            return board_name(self.kind)
        lists: dict[str, object] = {part: getattr(self, part) for part in PARTS}
        if self.units is not None:
            lists = {part: [tuple(unit) for unit in self.units[part]] for part in PARTS}
        return board_name(self.kind).replace("custom", f"custom-{sha256_json(lists)[:8]}", 1)

    def subgroup_of(self, unit: Unit) -> str:
        """The subgroup of a test unit; empty = none."""
        mine = unit.perturbation if self.units is None else f"{unit.perturbation}{SEPARATOR}{unit.context}"
        return next((name for name, members in self.subgroups.items() if mine in members), "")

    @property
    def held_out_contexts(self) -> tuple[str, ...]:
        """Contexts with test units and without a train unit; empty where parts are lists of conditions."""
        if self.units is None:
            return ()
        test, train = ({unit.context for unit in self.units[part]} for part in ("test", "train"))
        return tuple(sorted(test - train))

    @property
    def split_id(self) -> str:
        """Hash of the full lists (16 hex digits)."""
        left_out = {"notes"} | {name for name in ("units", "unlabelled", "kept") if not getattr(self, name)}
        return sha256_json({"version": VERSION, **self.model_dump(mode="json", exclude=left_out)})[:16]

    def summary(self) -> dict[str, object]:
        """What ``bench data split --json`` prints."""
        treated = any(treatment_of(name) for name in self.test)
        pools = {"input": self.input_controls, "reference": self.reference_controls}
        shown = {*PARTS, "unused", "subgroups", "control_fold"} | ({"notes"} if self.units or treated else set())
        lists = {} if self.units is None else {f"{part} units": self.units[part] for part in PARTS}
        lists |= {"unlabelled": self.unlabelled} if self.unlabelled else {}
        cells = {"kept cells of singles": sum(map(len, self.kept.values()))} if self.kept else {}
        return {
            **self.model_dump(mode="json", include=shown),
            **{name: [f"{unit.perturbation}{SEPARATOR}{unit.context}" for unit in of] for name, of in lists.items()},
            **cells,
            "controls": {name: len({b for part in pool.values() for b in part}) for name, pool in pools.items()},
            "split_id": self.split_id,
        }


def subgroup(condition: str, train: Sequence[str]) -> str:
    """Name what of a test condition was seen: a constituent is seen if its *single* is in the final train set.

    cell-gears labels before it carves out validation, so that some of its ``combo_seen2`` pairs lack a constituent.
    """
    singles = {identity(bare(name)) for name in train}
    genes = constituents(condition)
    seen = sum(identity(single(gene)) in singles for gene in genes)
    return "unseen_single" if len(genes) == 1 else f"combo_seen{seen}"


def _keep_few(n: int, contexts: Sequence[str], inputs: Pools, cells: Pools, seed: int) -> None:
    """Let models see a few controls of some contexts, in place: three are among ten."""
    for i, context in enumerate(contexts):
        order = np.random.default_rng([seed, 0xFE3, i]).permutation(sorted(cells[context]))
        inputs[context] = cells[context] = tuple(sorted(order[:n].tolist()))


def draw(
    dataset: Dataset, kind: str = "simulation", seed: int = 1, control_fold: int = 0, custom: Path | None = None
) -> Split:
    """Draw the split of a data set.

    Args:
        dataset: The cells.
        kind: One of :func:`bench.data.splits.kinds.kinds`, and options: ``few_shot_context:k=5``,
            ``simulation:label_fraction=0.25``.
        seed: Seed of the draw.
        control_fold: 0 or 1.
        custom: The JSON file of a ``custom`` split.

    Raises:
        BenchError: Unknown kind, or an empty train or test part.
    """
    wanted = asked(kind)
    if control_fold not in (0, 1):
        raise BenchError(f"control fold {control_fold}: expected 0 or 1.")
    drawn = wanted.kind.draw(dataset, seed, custom, **wanted.options)
    units = None
    moved = 0
    if any(isinstance(member, Unit) for members in drawn.parts.values() for member in members):
        units = split_units(dataset, drawn, kind)
        parts = {part: sorted({unit.perturbation for unit in units[part]}) for part in PARTS}
    else:
        of_identity = by_identity(dataset)
        members = {part: [str(member) for member in drawn.parts[part]] for part in PARTS}
        lists = {part: [name for one in of for name in of_identity[identity(one)]] for part, of in members.items()}
        parts, moved = merge_parts(lists, {name: name for name in dataset.conditions})
    if dataset.treated:
        refuse_parted(dataset, parts, units, kind)
    for part in ("train", "test"):
        if not parts[part]:
            sizes = ", ".join(f"{len(parts[name])} {name}" for name in PARTS)
            raise BenchError(
                f"split '{kind}' with seed {seed} has no {part} conditions ({sizes}). Choose another split."
            )
    unlabelled: tuple[Unit, ...] = ()
    if wanted.label_fraction < 1:
        parts, units, unlabelled = thinned(dataset, parts, units, wanted.label_fraction, seed)
    named = {name for part in parts.values() for name in part} | {unit.perturbation for unit in unlabelled}
    unused = tuple(name for name in dataset.conditions if name not in named and name != CONTROL)
    groups: dict[str, list[str]] = {}
    if units is None:
        for name in parts["test"]:
            groups.setdefault(subgroup(name, parts["train"]), []).append(name)
    else:
        for unit in units["test"]:
            groups.setdefault(unit.context, []).append(f"{unit.perturbation}{SEPARATOR}{unit.context}")
    inputs, reference, cells, notes = control_pools(dataset, seed, control_fold)
    held = [] if units is None else sorted({u.context for u in units["test"]} - {u.context for u in units["train"]})
    if not held and (wanted.input_cells is not None or wanted.input_depth < 1):
        option = INPUT_DEPTH if wanted.input_cells is None else INPUT_CELLS
        raise BenchError(f"split '{wanted.text}': {option} needs contexts that are held out, as in 'unseen_context'.")
    if wanted.input_cells is not None:
        _keep_few(wanted.input_cells, held, inputs, cells, seed)
    if wanted.input_depth < 1:
        notes.append(
            f"of the counts of held-out contexts' input controls, models see a share of {wanted.input_depth:g}"
        )
    notes += drawn.notes
    if moved:
        notes.append(f"{moved} conditions had spellings in different parts: moved to test before val before train")
    if unlabelled:
        what = "conditions" if units is None else "units"
        kept = len(parts["train"] if units is None else units["train"])
        notes.append(f"labels of {kept} train {what} only: of the others' cells nobody is told what was done to them")
    if unused and not drawn.complete:
        notes.append(f"{len(unused)} conditions are in no part of this split")
    tested = dataset.units_of(parts["test"]) if units is None else units["test"]
    if small := [unit for unit in tested if len(dataset.unit_rows(unit)) < dataset.min_cells]:
        what = "conditions" if len(dataset.contexts) == 1 else "units (condition and context)"
        notes.append(f"{len(small)} test {what} have under {dataset.min_cells} cells: not evaluated")
    if dataset.treated:
        notes.append(counted(dataset, parts, units))
    return Split(
        kind=wanted.text,
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
        unlabelled=unlabelled,
        kept={f"{unit.perturbation}{SEPARATOR}{unit.context}": barcodes for unit, barcodes in drawn.kept.items()},
    )
