"""CSVs that records give: written where they differ, compared, removed where no record gives them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.core.errors import BenchError
from bench.core.files import write_text
from bench.core.text import no_formula

#: A smaller number is what rounding left of 0: see :data:`bench.results.precision.BITS`.
_ZERO = 1e-9
#: Moves what lies exactly between two numbers of six digits, as means of simple fractions do, to where the last bits of
#: a record cannot decide which of them is written.
_NUDGE = 1 + 1e-9


def six_digits(value: float) -> str:
    """Write a number with six significant digits, the same ones whatever its last bits are; NaN is empty.

    Example:
        >>> six_digits(1 / 3), six_digits(0.1 + 0.2), six_digits(-1e-17), six_digits(71 / 128)
        ('0.333333', '0.3', '0', '0.554688')
    """
    if not math.isfinite(value):
        return "" if math.isnan(value) else str(value)
    return "0" if abs(value) < _ZERO else f"{value * _NUDGE:.6g}"


def rounded(value: float) -> float:
    """The number that :func:`six_digits` writes."""
    return float(six_digits(value)) if math.isfinite(value) else value


def to_csv(table: pd.DataFrame) -> str:
    """Write a board as CSV text: six significant digits, missing cells empty, ``\\n`` line ends."""
    # As one array: pandas makes a Series of each of 165 columns, which takes longer than all else.
    floats = [pd.api.types.is_float_dtype(dtype) for dtype in table.dtypes]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([no_formula(str(name)) for name in table.columns])
    for row in table.to_numpy(dtype=object).tolist():
        writer.writerow([six_digits(x) if of else "" if pd.isna(x) else _cell(x) for x, of in zip(row, floats)])
    return text.getvalue()


def _cell(value: object) -> object:
    return no_formula(value) if isinstance(value, str) else value


def plain_csv(table: pd.DataFrame) -> str:
    """Write a table that is no board as CSV text: pandas' own six digits, names as :func:`no_formula` has them."""
    words = [of for of, dtype in enumerate(table.dtypes) if not pd.api.types.is_numeric_dtype(dtype)]
    plain = table.copy()
    for of in words:
        plain.isetitem(of, plain.iloc[:, of].astype(object).map(_cell).to_numpy())
    plain.columns = [no_formula(str(name)) for name in plain.columns]
    return plain.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _differing(wanted: Mapping[Path, str]) -> list[Path]:
    return [path for path, text in wanted.items() if _text(path) != text]


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode().replace("\r\n", "\n")  # git on Windows
    except (FileNotFoundError, UnicodeDecodeError):
        return None


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
