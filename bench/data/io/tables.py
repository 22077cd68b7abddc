"""The columns of ``obs`` and ``var``: labels without blanks around them, library sizes, and which cells are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.conditions import CONTROL, constituents, matches, written
from bench.core.errors import BenchError
from bench.core.text import listed
from bench.data.cards import Card
from bench.data.dataset import Strings
from bench.data.io.compounds import Given, at_doses
from bench.data.labels import BLANK, as_text, cut_doses, doses_in, name_labels, numbered, overlooked, quoted

#: Combinations of more perturbations are set aside: no split and no metric asks for them.
LARGEST = 2


def column(frame: pd.DataFrame, name: str, table: str, source: str) -> pd.Series[Any]:
    """Return a column of ``obs`` or ``var``.

    Raises:
        BenchError: If it is missing; the message lists what is there.
    """
    if name not in frame.columns:
        there = ", ".join(str(c) for c in frame.columns[:20]) or "none"
        raise BenchError(
            f"{source}: no column '{name}' in {table}. There are: {there}. Name the right one in the card."
        )
    return frame[name]


def labels_of(
    frame: pd.DataFrame, name: str | None, source: str, allowed: NDArray[np.bool_] | tuple[str, ...] = ()
) -> Strings:
    """Read the labels of a column of ``obs``, without blanks around them; no column = ``all``.

    Args:
        frame: ``obs``.
        name: The column.
        source: What to call the data in messages.
        allowed: Labels that count although they look as if they were missing (``nan``), or cells that need none.

    Raises:
        BenchError: No such column, or cells without a label.
    """
    if name is None:
        return np.full(len(frame), "all")
    labels, blank = as_text(column(frame, name, "obs", source))
    if isinstance(allowed, tuple):
        blank = (blank & ~np.isin(labels, allowed)) | np.isin(labels, sorted(set(BLANK) - set(allowed)))
    else:
        blank = (blank | np.isin(labels, BLANK)) & ~allowed
    if blank.any():
        raise BenchError(
            f"{source}: {int(blank.sum())} cells have no value in obs['{name}'] (first in cell "
            f"'{frame.index[int(np.argmax(blank))]}'). Filter them out, or let the card name another column."
        )
    return labels


def genes_of(var: pd.DataFrame, name: str | None, source: str) -> Strings:
    """Read the genes' names: those of a column, or of the index."""
    if name is None:
        return var.index.astype(str).to_numpy(dtype=str)
    return column(var, name, "var", source).astype(str).to_numpy(dtype=str)


def kept_rows(obs: pd.DataFrame, card: Card, source: str) -> NDArray[np.bool_]:
    """Which cells the card's filter and its dropped labels leave.

    Raises:
        BenchError: No such column, or nothing is left.
    """
    keep = np.ones(len(obs), dtype=bool)
    for name, value in card.filter.items():
        values, _ = as_text(column(obs, name, "obs", source))
        if not (values == value).any():
            there = quoted(pd.Series(values).value_counts().index[:5], 5)
            raise BenchError(
                f"{source}: the card's filter keeps rows whose obs['{name}'] is '{value}', and there are none. "
                f"The most common values are {there}."
            )
        keep &= values == value
    if not keep.any():
        raise BenchError(f"{source}: the card's filter {card.filter} leaves no cells.")
    if card.drop and card.columns.condition in obs.columns:
        labels, _ = as_text(obs[card.columns.condition])
        dropped = {label for label in np.unique(labels[keep]).tolist() if matches(label, card.drop)}
        idle = [p for p in card.drop if not any(matches(label, (p,)) for label in dropped)]
        if idle:
            raise BenchError(
                f"{source}: the card drops {quoted(idle)}, which no label in obs['{card.columns.condition}'] is."
            )
        keep &= ~np.isin(labels, sorted(dropped))
    return keep


def totals_of(obs: pd.DataFrame, name: str | None, source: str) -> NDArray[np.float64] | None:
    """Read library sizes.

    Raises:
        BenchError: No such column, or cells without one.
    """
    if name is None:
        return None
    values = pd.to_numeric(column(obs, name, "obs", source), errors="coerce").to_numpy(dtype=np.float64)
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        raise BenchError(
            f"{source}: {int(bad.sum())} cells have no library size in obs['{name}'] (first in cell "
            f"'{obs.index[int(np.argmax(bad))]}'). Expected the counts of the whole cell, above 0."
        )
    return values


def conditions_of(obs: pd.DataFrame, card: Card, genes: Strings, source: str) -> tuple[Strings, list[str]]:
    """Name the condition of each cell.

    Returns:
        GEARS names ``[cells]``, empty for cells that are set aside; and notes.

    Raises:
        BenchError: Cells without a label, labels that cannot be named, no control cells.
    """
    name, notes = card.columns.condition, list[str]()
    marked = np.zeros(len(obs), dtype=bool)
    if card.role:
        values, _ = as_text(column(obs, card.role.column, "obs", source))
        marked = np.isin(values, card.role.value)
        if not marked.any():
            there = quoted(pd.Series(values).value_counts().index[:5], 5)
            raise BenchError(
                f"{source}: the card's role takes cells for controls whose obs['{card.role.column}'] is "
                f"{quoted(card.role.value)}, and there are none. The most common values are {there}."
            )
    labels = labels_of(obs, name, source, marked if card.role else card.control)
    original = obs[name].astype(str).to_numpy(dtype=str)
    if (blanks := np.char.strip(original) != original).any():
        notes.append(
            f"blanks around the labels of {int(blanks.sum())} cells were taken off "
            f"({quoted(np.unique(original[blanks]).tolist())})"
        )
    unique, inverse = np.unique(labels, return_inverse=True)
    names = name_labels(unique.tolist(), card, source)
    condition = np.array(names)[inverse]
    condition = np.where(marked, CONTROL, condition)
    if CONTROL not in set(condition.tolist()):
        common = pd.Series(labels).value_counts().iloc[:5]
        raise BenchError(
            f"{source}: no control cells: obs['{name}'] has no label {' or '.join(map(repr, card.control))}. Name "
            f"their label in the card (control: ...); the most common labels are "
            f"{', '.join(f'{label!r} ({n})' for label, n in common.items())}."
        )
    perturbed = condition[inverse_first(inverse, len(unique))] != CONTROL
    notes += _about_labels(
        unique[perturbed].tolist(), [n for n, p in zip(names, perturbed, strict=True) if p], card, genes
    )
    chemical = card.kind == "chemical"
    if chemical:
        dose = _given(obs, card.columns.dose, source)
        if dose is None and card.dose:
            cut = np.array(cut_doses(unique.tolist(), card)[1])[inverse]
            dose = Given(f"the labels of obs['{name}']", cut)
        condition, about = at_doses(condition, dose, _given(obs, card.columns.time, source), card, source)
        notes += about
    for covariate in ("donor",) if chemical else ("dose", "time", "donor"):
        if (of := getattr(card.columns, covariate)) is not None:
            n = len(np.unique(labels_of(obs, of, source)))
            notes.append(f"{covariate}: obs['{of}'] has {n} values; cells of all of them are one condition")
    larger = {each for each in np.unique(condition).tolist() if len(set(constituents(each))) > LARGEST}
    if larger:
        aside = np.isin(condition, sorted(larger))
        notes.append(
            f"{len(larger)} combinations of more than {LARGEST} perturbations were set aside with their "
            f"{int(aside.sum())} cells: {listed(sorted(map(written, larger)), 30)}"
        )
        condition = np.where(aside, "", condition)
    return condition, notes


def _given(obs: pd.DataFrame, name: str | None, source: str) -> Given | None:
    return None if name is None else Given(f"obs['{name}']", as_text(column(obs, name, "obs", source))[0])


def inverse_first(inverse: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the first cell of each of ``n`` labels, from the label of each cell."""
    first = np.zeros(n, dtype=np.int64)
    first[inverse[::-1]] = np.arange(len(inverse))[::-1]
    return first


def _about_labels(labels: list[str], names: list[str], card: Card, genes: Strings) -> list[str]:
    """Say what is unusual about the labels of perturbed cells."""
    notes = []
    bare, _ = cut_doses(labels, card)
    if (doses := doses_in(labels, card)) and card.kind != "chemical":
        notes.append(
            f"doses were cut off the labels ({doses}): cells of all doses are one condition; with kind: chemical each "
            f"dose is one"
        )
    if missed := overlooked(labels, names, card.split_at):
        notes.append(
            f"{len(missed)} labels look like controls and are not among the card's ({quoted(missed)}): if they are, "
            f"name them in 'control', else drop them or leave them"
        )
    if card.strip is None and (found := numbered(bare, card.split_at, frozenset(genes.tolist()))):
        groups = "; ".join(quoted(many) for many in list(found.groups.values())[:2])
        what, field = ("guides of one gene", "strip") if found.guides else ("doses of one compound", "dose")
        notes.append(
            f"{sum(map(len, found.groups.values()))} labels differ by a number only ({groups}): if they are {what}, a "
            f"card takes them together with {field}: '{found.pattern}'; as they are, they fall on both sides of a split"
        )
    return notes
