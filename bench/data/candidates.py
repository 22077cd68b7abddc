"""Which column of ``obs`` holds the perturbations, judged by what is in the columns and not only by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.conditions import matches, parts_of
from bench.data.cards import Card, Role
from bench.data.labels import BLANK, MISSING, as_text, cut_doses, is_control, looks_like_control, quoted

#: Names of the perturbation's column in files of GEARS, scPerturb, PerturBench and Replogle, the likeliest first.
NAMES = ("condition", "perturbation", "guide_identity", "gene", "target_gene", "perturbation_name", "guide_ids")
_HINT = re.compile(r"pert|guide|grna|sgrna|gene|target|condition|treatment|drug|compound|cmpd", re.IGNORECASE)
_ROLE_NAME = re.compile(
    r"(?:is[-_ ]?)?(?:neg(?:ative)?[-_ ]?)?(?:controls?|ctrl|ntc?|nc|non[-_ ]?targeting)", re.IGNORECASE
)
#: What may stand between the constituents of a combination; '_' is in names too.
SEPARATORS = ("+", "_", "||", "|", ",", ";", "&")
#: Fewer conditions cannot be cut into train, val and test.
FEW_CONDITIONS = 5
_ROLE_VALUES = 20

Genes = Mapping[str | None, frozenset[str]]


@dataclass(frozen=True)
class Candidate:
    """A column of ``obs`` that may hold the perturbations.

    Attributes:
        column: Its name.
        separator: What its combinations are split at; ``none`` = no label is a combination.
        labels: How many labels of perturbed cells it has.
        controls: Its labels that look like controls.
        control_cells: How many cells have them, or are controls by ``role``.
        targets: How many names those labels hold.
        measured: How many of them are measured genes.
        gene: The column of ``var`` that says so; None = its index.
        common: Its most common labels, and their cells.
        missing: How many cells have no label.
        role: Another column that marks controls, where no label does.
    """

    column: str
    separator: str
    labels: int
    controls: tuple[str, ...]
    control_cells: int
    targets: int
    measured: int
    gene: str | None
    common: tuple[tuple[str, int], ...]
    missing: int = 0
    role: Role | None = None

    @property
    def score(self) -> float:
        """Controls and targets that are measured weigh most, a usual name least; a handful of labels is a role."""
        name = 2.0 if self.column in NAMES else 1.0 if _HINT.search(self.column) else 0.0
        controls = 4.0 if self.controls else 3.0 if self.role else 0.0
        return name + controls + 4 * self.measured / max(1, self.targets) + (1 if self.labels >= FEW_CONDITIONS else -3)

    def reason(self) -> str:
        """Say in one line what speaks for the column, and what against it."""
        if self.controls:
            controls = f"controls {quoted(self.controls)} ({self.control_cells} cells)"
        elif self.role:
            controls = (
                f"no label looks like a control, obs['{self.role.column}'] marks {self.control_cells} cells as "
                f"{quoted(self.role.value)}"
            )
        else:
            controls = "no label looks like a control"
        common = ", ".join(f"'{label}' ({n})" for label, n in self.common[:3])
        if self.missing and not self.role:
            common += f"; {self.missing} cells have no label (if they are the controls: control: {MISSING})"
        return (
            f"'{self.column}': {controls}; {self.labels} other labels, {self.measured} of {self.targets} names in them "
            f"are measured genes; most common {common}"
        )


def find_candidates(obs: pd.DataFrame, genes: Genes, card: Card | None = None) -> list[Candidate]:
    """Judge every column that may hold labels, the best first.

    Args:
        obs: A row per cell.
        genes: Names of the genes by column of ``var``.
        card: What is known already: the column, its controls, the column of the controls' role; None = nothing.
    """
    named = card.columns.condition if card and "condition" in card.columns.model_fields_set else None
    roles = [card.role] if card and card.role else list(_roles(obs))
    found = []
    for column in map(str, obs.columns):
        if named is not None and column != named:
            continue
        labels, missing = as_text(obs[column])
        missing |= np.isin(labels, BLANK)
        counts = pd.Series(labels[~missing]).value_counts()
        if named is None and not _may_hold_labels(obs[column], len(counts), len(obs)):
            continue
        candidate = replace(_judge(column, counts, genes, card), missing=int(missing.sum()))
        if not candidate.controls or (card and card.role):
            candidate = _with_role(candidate, labels, missing, obs, roles)
        if candidate.controls or candidate.role or candidate.measured or _HINT.search(column) or named:
            found.append(candidate)
    order = {name: i for i, name in enumerate(NAMES)}
    return sorted(found, key=lambda each: (-each.score, order.get(each.column, len(order))))


def role_of_controls(obs: pd.DataFrame) -> list[tuple[Role, int]]:
    """Columns that say which cells are controls, and of how many they say so."""
    return [(role, int(_marked(obs, role).sum())) for role in _roles(obs)]


def _may_hold_labels(values: pd.Series[Any], n_labels: int, n_cells: int) -> bool:
    """Leave out columns of measurements, truth values, one label, and nearly one label per cell."""
    fewest = 1 if values.name in NAMES else 2
    kind = values.cat.categories.dtype if isinstance(values.dtype, pd.CategoricalDtype) else values.dtype
    if pd.api.types.is_bool_dtype(kind) or not fewest <= n_labels <= max(50, n_cells // 2):
        return False
    return not pd.api.types.is_numeric_dtype(kind) or _HINT.search(str(values.name)) is not None


def _is_control(label: str, mark: str, card: Card | None) -> bool:
    """Go by the card where it says what controls are called, by what such labels look like otherwise."""
    if card is None or "control" not in card.model_fields_set:
        return is_control(label, mark)
    return matches(label, card.control) or all(matches(part, card.control) for part in parts_of(label, mark))


def _judge(column: str, counts: pd.Series[Any], genes: Genes, card: Card | None) -> Candidate:
    labels = sorted(map(str, counts.index))
    every = frozenset[str]().union(*genes.values())
    given = card is not None and "separator" in card.model_fields_set
    separator = card.separator if card and given else guess_separator(labels, every)
    mark = "" if separator == "none" else separator
    controls = tuple(label for label in labels if _is_control(label, mark, card))
    left_out = set(controls) | {label for label in labels if card and matches(label, card.drop)}
    others = [label for label in labels if label not in left_out]
    undosed = cut_doses(others, card)[0] if card else others
    targets = {p for label in undosed for p in parts_of(label, mark) if not looks_like_control(p)}
    if card and card.strip:
        targets = {re.sub(f"(?:{card.strip})$", "", target) for target in targets}
    by_column = {name: len(targets & names) for name, names in genes.items()}
    gene = max(by_column, key=lambda name: (by_column[name], name is None))
    return Candidate(
        column=column,
        separator=separator,
        labels=len(others),
        controls=controls,
        control_cells=int(counts[list(controls)].sum()) if controls else 0,
        targets=len(targets),
        measured=by_column[gene],
        gene=gene,
        common=tuple((str(label), int(n)) for label, n in counts.iloc[:5].items()),
    )


def guess_separator(labels: list[str], genes: frozenset[str] = frozenset()) -> str:
    """Take the mark at which the most labels fall into parts that are labels, controls or genes on their own.

    Returns:
        The mark. Where no label is a combination, ``none`` if a label holds a '+', which is then part of its name,
        and '+' otherwise.
    """
    known = set(labels) | genes

    def hits(mark: str) -> int:
        split = {label: parts_of(label, mark) for label in labels if mark in label and not looks_like_control(label)}
        sums = {label: parts for label, parts in split.items() if len(parts) > 1 and all(map(_is_name, parts))}
        seen = pd.Series([part for parts in sums.values() for part in set(parts)], dtype=str).value_counts()

        def is_combination(parts: list[str]) -> bool:
            familiar = [part in known or looks_like_control(part) for part in parts]
            if all(familiar) or any(map(looks_like_control, parts)):
                return True
            # '_' and the end of a name (KLF1_guide2) would pass here, other marks do not stand in names.
            return mark != "_" and (any(familiar) or all(seen[part] > 1 for part in parts))

        return sum(map(is_combination, sums.values()))

    most = {mark: hits(mark) for mark in SEPARATORS}
    best = max(SEPARATORS, key=lambda mark: (most[mark], mark == "+"))
    if most[best]:
        return best
    return "none" if any("+" in label for label in labels) else "+"


def _is_name(part: str) -> bool:
    """Tell a constituent from a dose, a guide's number or nothing at all."""
    return bool(part) and re.fullmatch(r"[\d.,]+\s*[munpµ]?[MgLl]?", part) is None


def _roles(obs: pd.DataFrame) -> Iterator[Role]:
    """Columns with a few values of which one means control, or that are called 'control' and hold truth values."""
    for column in map(str, obs.columns):
        values = obs[column].unique()
        if not 1 < len(values) <= _ROLE_VALUES:
            continue
        labels = sorted(set(as_text(pd.Series(values))[0].tolist()) - set(BLANK))
        like = [label for label in labels if looks_like_control(label)]
        if _ROLE_NAME.fullmatch(column) and set(labels) in ({"0", "1"}, {"False", "True"}):
            like = labels[1:]
        if like and len(like) < len(labels):
            yield Role(column=column, value=tuple(like))


def _marked(obs: pd.DataFrame, role: Role) -> NDArray[np.bool_]:
    if role.column not in obs.columns:
        return np.zeros(len(obs), dtype=bool)
    return np.isin(as_text(obs[role.column])[0], role.value)


def _with_role(
    candidate: Candidate,
    labels: NDArray[np.str_],
    missing: NDArray[np.bool_],
    obs: pd.DataFrame,
    roles: list[Role],
) -> Candidate:
    """Add the first other column that marks controls whose labels no other cell has."""
    for role in roles:
        marked = _marked(obs, role)
        inside, outside = set(labels[marked & ~missing]), set(labels[~marked & ~missing])
        if role.column != candidate.column and marked.any() and outside and not inside & outside:
            return replace(candidate, role=role, control_cells=int(marked.sum()), labels=len(outside))
    return candidate
