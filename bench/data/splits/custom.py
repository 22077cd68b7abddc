"""The split ``custom``: lists that a user wrote."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path

from bench.core.conditions import identity, spellings
from bench.core.errors import BenchError, unknown
from bench.data.dataset import Dataset
from bench.data.splits.kinds import PARTS, Drawn, SplitKind


def read_custom(path: Path, labels: Sequence[str]) -> dict[str, list[str]]:
    """Read a custom split: ``{"train": [...], "val": [...], "test": [...]}``; conditions are matched as sets.

    Raises:
        BenchError: Not such a file, an unknown condition, or one condition in two parts.
    """
    if not path.is_file():
        raise BenchError(f"no such file: {path}")
    form = '{"train": [...], "val": [...], "test": [...]}'
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: not a custom split: {error}. Expected {form}.") from error
    if not isinstance(content, dict) or not all(isinstance(value, list) for value in content.values()):
        raise BenchError(f"{path}: not a custom split: expected lists of conditions, {form}.")
    for name in content:
        if name not in (*PARTS, "unused"):
            raise BenchError(f"{path}: {unknown('part', name, PARTS)}")
    lists = {name: content.get(name, []) for name in PARTS}
    by_identity: dict[frozenset[str], list[str]] = {}
    as_written = spellings(labels)
    for label in labels:
        by_identity.setdefault(identity(label), []).append(label)
    part_of: dict[frozenset[str], str] = {}
    for name, conditions in lists.items():
        for condition in conditions:
            key = identity(as_written.get(str(condition), str(condition)))
            if key not in by_identity:
                raise BenchError(
                    f"{path}: condition '{condition}' in '{name}' is not in the data.{_near(condition, labels)}"
                )
            if key and part_of.setdefault(key, name) != name:
                raise BenchError(f"{path}: condition '{condition}' is both in '{part_of[key]}' and in '{name}'.")
    return {
        name: sorted(s for key, part in part_of.items() if part == name for s in by_identity[key]) for name in PARTS
    }


def _near(condition: object, labels: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(condition), labels, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _draw(dataset: Dataset, seed: int, file: Path | None) -> Drawn:
    if file is None:
        raise BenchError("split 'custom' needs --split-file FILE, a JSON with lists train, val and test.")
    return Drawn(read_custom(file, dataset.file_conditions))


KINDS = (SplitKind("custom", _draw),)
