"""A row of the table: one measure in its published and in its corrected form, each beside a trivial answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.core.typing import Floats

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """One measure; ``None`` = there is no such number, and the note says why.

    Attributes:
        evaluation: Number and name of the evaluation.
        measure: What is measured.
        published: The model's value in the published form.
        published_trivial: What a trivial answer has in the published form.
        corrected: The model's value in the corrected form.
        low: Lower 95% bound of the corrected value.
        high: Its upper bound.
        trivial: What the best trivial answer has in the corrected form.
        trivial_is: Which answer that is.
        measured: What measured cells have in the corrected form: a half of the cells as a prediction of the others.
        n: Units (perturbations, genes or cells) in the corrected value.
        note: What a reader must know.
    """

    evaluation: str
    measure: str
    published: float | None = None
    published_trivial: float | None = None
    corrected: float | None = None
    low: float | None = None
    high: float | None = None
    trivial: float | None = None
    trivial_is: str = ""
    measured: float | None = None
    n: int = 0
    note: str = ""


def absent(evaluation: str, measure: str, reason: str) -> Row:
    """The row of an evaluation that cannot be asked of a model, or of these data."""
    return Row(evaluation, measure, note=reason)


def number(value: float | None) -> float | None:
    """A plain float; ``None`` for what is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def mean_of(values: Floats) -> float | None:
    """Mean of what is defined; ``None`` where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def best_of(answers: Mapping[str, float | None], *, high: bool = True) -> tuple[float | None, str]:
    """The best of several trivial answers and its name; answers without a value are left out."""
    known = {name: value for name, value in answers.items() if number(value) is not None}
    if not known:
        return None, ""
    name = (max if high else min)(known, key=lambda each: known[each] or 0.0)
    return number(known[name]), name


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The table of some rows."""
    import pandas as pd

    return pd.DataFrame([asdict(row) for row in rows], columns=list(Row.__dataclass_fields__))
