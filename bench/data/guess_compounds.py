"""First guesses at what a chemical screen says beside the compound: dose, time and SMILES."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.conditions import matches
from bench.core.doses import HOURS, MOLAR, amount, unit_of
from bench.data.candidates import Candidate
from bench.data.cards import Card
from bench.data.labels import BLANK, as_text

#: The likeliest first, without regard to case, each perhaps with a unit behind it: dose_uM, dose_value, time_hr.
_DOSE = r"(?:dose|dosage|conc|concentration)(?:[_ -]?(?:val|value))?"
_TIME = r"(?:time|time[_ -]?point|treatment[_ -]?time)(?:[_ -]?(?:val|value))?"
_SMILES = ("smiles", "canonical_smiles", "isomeric_smiles", "SMILES", "Canonical_SMILES", "smile")


def with_compound(obs: pd.DataFrame, found: Candidate, card: Card) -> NDArray[np.bool_]:
    """Cells that are no controls, by their label or their role, and that the card does not drop ``[cells]``."""
    labels = as_text(obs[found.column])[0]
    without = [label for label in np.unique(labels).tolist() if label in found.controls or matches(label, card.drop)]
    marked = np.zeros(len(obs), dtype=bool)
    if (role := card.role or found.role) and role.column in obs.columns:
        marked = np.isin(as_text(obs[role.column])[0], role.value)
    return ~marked & ~np.isin(labels, without)


def guess_treatments(obs: pd.DataFrame, treated: NDArray[np.bool_]) -> dict[str, str]:
    """Find the columns of dose and time: called so, and an amount above 0 in every cell with a compound.

    Args:
        obs: A row per cell, without the column of the labels.
        treated: Cells that have a compound ``[cells]``.
    """
    found = {}
    for what, name, units, default in (("dose", _DOSE, MOLAR, "uM"), ("time", _TIME, HOURS, "h")):
        for column in map(str, obs.columns):
            if _unit_behind(column, name, units) is not None and _all_amounts(obs[column], treated, units, default):
                found[what] = column
                break
    return found


def guess_compounds(obs: pd.DataFrame, treated: NDArray[np.bool_], card: Card) -> dict[str, Any]:
    """Guess card fields: the unit of doses from the column's name or a column beside it, SMILES, and features of them.

    Args:
        obs: A row per cell, without the column of the labels.
        treated: Cells that have a compound ``[cells]``.
        card: What is known.
    """
    fields: dict[str, Any] = {}
    names = {str(column).lower(): str(column) for column in obs.columns}
    if dose := card.columns.dose or guess_treatments(obs, treated).get("dose"):
        unit = _unit_behind(dose, _DOSE, MOLAR)
        beside = next((names[n] for n in ("dose_unit", "dose_units", "concentration_unit") if n in names), None)
        if not unit and beside is not None:
            values = np.unique(as_text(obs[beside])[0][treated])
            unit = str(values[0]) if len(values) == 1 and unit_of(str(values[0]), MOLAR) else ""
        if unit:
            fields["dose_unit"] = unit
    if column := next((name for name in _SMILES if name in obs.columns), None):
        fields["smiles"] = column
    if card.smiles or column:
        fields["features"] = ("fingerprints",)
    return fields


def _unit_behind(column: str, name: str, units: Mapping[str, float]) -> str | None:
    """The unit at the end of a column's name, empty where there is none; None = it is called otherwise."""
    match = re.fullmatch(rf"{name}(?:[_ .(-]*([^\W\d_]+)\)?)?", column, re.IGNORECASE)
    if match is None or (match[1] and unit_of(match[1], units) is None):
        return None
    return match[1] or ""


def _all_amounts(values: pd.Series[Any], treated: NDArray[np.bool_], units: Mapping[str, float], default: str) -> bool:
    texts = set(np.unique(as_text(values)[0][treated]).tolist())
    return bool(texts) and not texts & set(BLANK) and all(amount(text, units, default) is not None for text in texts)
