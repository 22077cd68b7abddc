"""What people should know about a guess: the columns that were not taken, what else marks controls, mixed screens."""

from __future__ import annotations

import pandas as pd

from bench.data.candidates import Candidate, role_of_controls
from bench.data.cards import Card, Columns
from bench.data.labels import as_text, looks_like_control

_SCREENS = ("dataset", "perturbation_type", "study", "screen", "library")


def remarks_on(obs: pd.DataFrame, candidates: list[Candidate], best: Candidate, card: Card, by_hand: bool) -> list[str]:
    """Say which candidates there were, what else marks controls, and what the file may mix."""
    said = [f"{'taken' if each is best else 'not taken'}: obs column {each.reason()}" for each in candidates]
    if by_hand:
        said = []
    for role, cells in role_of_controls(obs):
        if role.column not in (best.column, card.role.column if card.role else None):
            also = f", the labels {best.control_cells}" if cells != best.control_cells else ", as many as the labels"
            said.append(
                f"obs['{role.column}'] marks controls too ('{role.value[0]}', {cells} cells{also}); a card can go by "
                f"it with role: {{column: {role.column}, value: {role.value[0]}}}"
            )
    for name in _SCREENS:
        if name in obs.columns and name not in card.filter and name != card.columns.context:
            values = pd.Series(as_text(obs[name])[0]).value_counts()
            values = values[[not looks_like_control(str(label)) for label in values.index]]
            if 1 < len(values) <= 50:
                most = ", ".join(f"'{label}' ({n} cells)" for label, n in values.iloc[:4].items())
                said.append(
                    f"obs['{name}'] has {len(values)} values ({most}): if the file mixes screens, keep one of them "
                    f"with filter: {{{name}: {values.index[0]}}}"
                )
    return said


def filled_in(before: Card, after: Card) -> str:
    """Name the fields that a guess gave another value than the default that it would have had; empty = none."""
    changed = [
        name
        for name in ("control", "role", "separator", "kind", "dose_unit", "smiles", "features", "expression")
        if getattr(before, name) != getattr(after, name)
    ]
    columns = [n for n in Columns.model_fields if getattr(before.columns, n) != getattr(after.columns, n)]
    said = [f"{name}: {_plain(getattr(after, name))}" for name in changed]
    return ", ".join([*said, *(f"columns.{name}: {getattr(after.columns, name)}" for name in columns)])


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
