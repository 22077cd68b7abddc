"""The split ``custom``: lists that a user wrote, of conditions or of units (``KLF1+ctrl | K562``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.core.conditions import bare, from_written, identity, spellings
from bench.core.door.documents import read_json
from bench.core.errors import BenchError, nearest, unknown
from bench.core.units import SEPARATOR, Unit
from bench.data.dataset import Dataset
from bench.data.splits.kinds import PARTS, Drawn, SplitKind


def read_custom(path: Path, labels: Sequence[str], contexts: Sequence[str] = ()) -> dict[str, list[str | Unit]]:
    """Read a custom split: ``{"train": [...], "val": [...], "test": [...]}``; conditions are matched as sets.

    A member is a condition, which is then in its part in every context, or a unit: the condition, `` | `` and one of
    the contexts. A compound without a dose stands for all of its doses.

    Args:
        path: The file.
        labels: Condition strings of the data.
        contexts: Contexts of the data.

    Raises:
        BenchError: Not such a file, an unknown condition, or one condition in two parts.
    """
    form = '{"train": [...], "val": [...], "test": [...]}'
    content = read_json(path, "a custom split", f"Expected {form}.")
    if not isinstance(content, dict) or not all(isinstance(value, list) for value in content.values()):
        raise BenchError(f"{path}: not a custom split: expected lists of conditions, {form}.")
    for name in content:
        if name not in (*PARTS, "unused"):
            raise BenchError(f"{path}: {unknown('part', name, PARTS)}")
    lists = {name: content.get(name, []) for name in PARTS}
    by_identity: dict[frozenset[str], list[str]] = {}
    as_written = spellings(labels)
    for label in dict.fromkeys([*labels, *map(bare, labels)]):
        by_identity.setdefault(identity(label), []).append(label)
    part_of: dict[tuple[frozenset[str], str], str] = {}
    parts: dict[str, list[str | Unit]] = {name: [] for name in PARTS}
    for name, members in lists.items():
        for member in members:
            condition, context = _of_unit(str(member), by_identity, contexts)
            key = identity(_named(condition, as_written))
            if key not in by_identity:
                near = nearest(member, labels)
                raise BenchError(f"{path}: condition '{condition}' in '{name}' is not in the data.{near}")
            if not key:  # the control is in every part, and in none
                continue
            for where in [context] if context else ["", *contexts]:
                other = part_of.get((key, where), name)
                if other != name:
                    raise BenchError(f"{path}: condition '{member}' is both in '{other}' and in '{name}'.")
            if (key, context) not in part_of:
                part_of[key, context] = name
                parts[name] += [Unit(label, context) for label in by_identity[key][:1]] if context else by_identity[key]
    return {name: sorted(members, key=str) for name, members in parts.items()}


def _of_unit(member: str, known: Mapping[frozenset[str], Sequence[str]], contexts: Sequence[str]) -> tuple[str, str]:
    """Condition and context of a member; no context = every one."""
    condition, bar, context = member.rpartition(SEPARATOR)
    if bar and context in contexts and identity(member) not in known:
        return condition, context
    return member, ""


def _named(condition: str, as_written: Mapping[str, str]) -> str:
    """The name of a condition; ``A+B`` and ``ctrl+A`` are read as they are."""
    return from_written(condition, as_written) if "@" in condition else as_written.get(condition, condition)


def _draw(dataset: Dataset, seed: int, file: Path | None) -> Drawn:
    if file is None:
        raise BenchError("split 'custom' needs --split-file FILE, a JSON with lists train, val and test.")
    return Drawn(read_custom(file, dataset.file_conditions, dataset.contexts))


KINDS = (SplitKind("custom", _draw),)
