"""CSVs that records give: written where they differ, compared, removed where no record gives them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from bench.core.errors import BenchError
from bench.core.files import write_text


class Estimates(Protocol):
    """A record and where it lies."""

    @property
    def record(self) -> Any:
        """The record."""

    @property
    def path(self) -> Path:
        """Its file."""


def refuse_mixed(items: Sequence[Estimates], what: str, where: str, key: Callable[[Any], str]) -> None:
    """Refuse records that differ in something in which a table's must not.

    Args:
        items: Of one table.
        what: In what they must not differ.
        where: The table, in words.
        key: Reads it from a record.

    Raises:
        BenchError: Naming two files that differ.
    """
    first = items[0]
    for item in items[1:]:
        if key(item.record) != key(first.record):
            raise BenchError(
                f"{where}: records differ in {what} and cannot stand in one table: "
                f"{first.path} has {key(first.record)}, {item.path} has {key(item.record)}. "
                f"Remove the outdated ones and run them again."
            )


def to_csv(table: pd.DataFrame) -> str:
    """Write a board as CSV text: plain numbers in full precision, missing cells empty, ``\\n`` line ends."""
    return str(table.to_csv(index=False, lineterminator="\n"))


def same_numbers(a: str, b: str) -> bool:
    """Tell whether two CSV texts agree: the same cells, numbers to 1e-9 of each other.

    One machine gives the same bytes every time; another's matrix products may differ in the last bit.
    """
    if a == b:
        return True
    left, right = (list(csv.reader(io.StringIO(text))) for text in (a, b))
    if [len(row) for row in left] != [len(row) for row in right]:
        return False
    return all(
        x == y or _close(x, y) for one, two in zip(left, right, strict=True) for x, y in zip(one, two, strict=True)
    )


def _close(a: str, b: str) -> bool:
    try:
        return math.isclose(float(a), float(b), rel_tol=1e-9, abs_tol=1e-9)
    except ValueError:
        return False


def _differing(wanted: Mapping[Path, str]) -> list[Path]:
    return [
        path
        for path, text in wanted.items()
        if not path.is_file() or not same_numbers(path.read_text(encoding="utf-8"), text)
    ]


def rewrite(wanted: Mapping[Path, str], present: set[Path]) -> list[Path]:
    """Write CSVs that differ from what they should be and remove those that should not be; return the changed ones.

    Args:
        wanted: Text of each that should be.
        present: Those that are there.
    """
    changed = _differing(wanted)
    for path in changed:
        write_text(path, wanted[path])
    for path in (surplus := sorted(present - set(wanted))):
        path.unlink()
    return changed + surplus


def compare(wanted: Mapping[Path, str], present: set[Path], folder: Path) -> int:
    """Return how many CSVs there should be, if those that are there are these.

    Args:
        wanted: Text of each that should be.
        present: Those that are there.
        folder: Their leaderboards folder.

    Raises:
        BenchError: Naming the files that differ.
    """
    wrong = _differing(wanted) + sorted(present - set(wanted))
    if wrong:
        raise BenchError(
            f"{len(wrong)} CSVs differ from what the records give: {', '.join(str(path) for path in wrong[:5])}. "
            f"Run 'bench leaderboard --leaderboards {folder}'."
        )
    return len(wanted)
