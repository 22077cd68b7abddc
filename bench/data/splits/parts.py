"""Who is in which part of a split: spellings merged, doses of a compound kept together, labels withheld."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TypeAlias

import numpy as np

from bench.core.conditions import bare, identity
from bench.core.errors import BenchError
from bench.core.units import Unit
from bench.data.dataset import Dataset
from bench.data.splits.kinds import PARTS, Drawn

#: Units of ``train``, ``val`` and ``test``.
Units: TypeAlias = dict[str, tuple[Unit, ...]]


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


def by_identity(dataset: Dataset) -> dict[frozenset[str], list[str]]:
    """Conditions by identity, and all doses and times of a perturbation by its identity without them."""
    found: dict[frozenset[str], list[str]] = {}
    for name in dataset.conditions:
        for key in dict.fromkeys((identity(name), identity(bare(name)))):
            found.setdefault(key, []).append(name)
    return found


def refuse_parted(dataset: Dataset, parts: Mapping[str, Sequence[str]], units: Units | None, kind: str) -> None:
    """Refuse a split with doses or times of a compound on both sides, in the same context.

    Raises:
        BenchError: Naming the first.
    """
    part_of: dict[tuple[frozenset[str], str], str] = {}
    for part in PARTS:
        of = dataset.units_of(parts[part]) if units is None else units[part]
        for unit in of:
            key = identity(bare(unit.perturbation)), unit.context
            if part_of.setdefault(key, part) != part:
                raise BenchError(
                    f"split '{kind}': '{bare(unit.perturbation)}' is in '{part_of[key]}' at one dose or time and in "
                    f"'{part}' at another. Doses and times of a compound go to one part: name it without them."
                )


def split_units(dataset: Dataset, drawn: Drawn, kind: str) -> Units:
    """Sort the units of each part; a condition without a context stands for all of its contexts.

    Raises:
        BenchError: A unit in two parts.
    """
    names = by_identity(dataset)
    units: dict[str, tuple[Unit, ...]] = {}
    part_of: dict[Unit, str] = {}
    for part in PARTS:
        found: set[Unit] = set()
        for member in drawn.parts[part]:
            whole = names[identity(member if isinstance(member, str) else member.perturbation)]
            found.update(
                dataset.units_of(whole) if isinstance(member, str) else (Unit(name, member.context) for name in whole)
            )
        for unit in found:
            if part_of.setdefault(unit, part) != part:
                text = unit.text(dataset.contexts)
                raise BenchError(f"split '{kind}': '{text}' is both in '{part_of[unit]}' and in '{part}'.")
        units[part] = tuple(sorted(found))
    return units


def thinned(
    dataset: Dataset,
    parts: dict[str, list[str]],
    units: Units | None,
    fraction: float,
    seed: int,
) -> tuple[dict[str, list[str]], Units | None, tuple[Unit, ...]]:
    """Withhold the labels of some train members: of half as many as of a quarter, the quarter's are kept.

    Returns:
        The parts and units with the labelled train members alone, and the units of the others.
    """
    rng = np.random.default_rng([seed, 0x1AB])
    if units is None:
        every = sorted(set(map(bare, parts["train"])))  # all doses of a compound together
        chosen = set(rng.permutation(every)[: ceil(fraction * len(every))].tolist())
        kept = [name for name in parts["train"] if bare(name) in chosen]
        return {**parts, "train": kept}, None, dataset.units_of([n for n in parts["train"] if bare(n) not in chosen])
    pairs = sorted({(bare(unit.perturbation), unit.context) for unit in units["train"]})
    taken = {pairs[i] for i in rng.permutation(len(pairs))[: ceil(fraction * len(pairs))].tolist()}
    labelled = tuple(u for u in units["train"] if (bare(u.perturbation), u.context) in taken)
    without = tuple(u for u in units["train"] if (bare(u.perturbation), u.context) not in taken)
    named = sorted({unit.perturbation for unit in labelled})
    return {**parts, "train": named}, {**units, "train": labelled}, without


def counted(dataset: Dataset, parts: Mapping[str, Sequence[str]], units: Units | None) -> str:
    """Say how many compounds and units each part has."""
    of = {part: dataset.units_of(parts[part]) if units is None else units[part] for part in PARTS}
    counts = "; ".join(
        f"{part}: {len({bare(unit.perturbation) for unit in members})} compounds, {len(members)} units"
        for part, members in of.items()
    )
    return f"{counts} (a unit is a compound at a dose, for a time, in a context)"
