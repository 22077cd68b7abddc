"""Labels of cells as their owners write them: which look like controls, which differ by a number only, which name what.

Nothing here knows a file: labels in, names or findings out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.conditions import AT, CONTROL, INNER_PLUS, from_label, matches, parts_of, written
from bench.core.errors import BenchError
from bench.data.cards import Card

#: What pandas and anndata make of a missing label once it went through ``astype(str)``.
BLANK = ("", "nan", "NaN", "<NA>", "None")
#: How the label of a cell without one is written: ``control: nan`` in a card takes such cells for controls.
MISSING = "nan"
#: Labels of unperturbed cells in the files of CRISPR and drug screens, and what may stand around them.
CONTROL_EXAMPLES = "ctrl, control, non-targeting_1, NTC-1, NT_1, NegCtrl0, INTERGENIC1, safe-targeting, scrambled, DMSO"
_CORE = (
    r"non?[-_ ]?target(?:s|ing|ed)?|neg(?:ative)?[-_ ]?(?:ctrl|control)s?|safe[-_ ]?(?:target(?:ing)?|harbou?r)"
    r"|one[-_ ]non[-_ ]gene[-_ ]site|scrambled?|intergenic|controls?|ctrls?|unperturbed|untreated|unstimulated"
    r"|no[-_ ]?treatment|vehicle|dmso|mock|ntcs?"
)
_AROUND = r"[\W_]+|\d+|control|ctrl|guide|grna|sgrna|sg|rna|human|mouse|for|rep|seq|[munp]m"
# Words that begin a gene's name too (WT1, NEGR1) take a number only after a mark.
_SHORT = r"(?:nt|wt|neg|nc)(?:[-_ .#]+(?:ctrl|control|guide|sg)?[-_ .#]*\d*)?"
_CONTROL = re.compile(rf"(?:sg[-_ ]?)?(?:(?:{_CORE})(?:{_AROUND})*|{_SHORT})", re.IGNORECASE)
_NUMBERED = re.compile(r"^(.*\S)(\s*[-_ @:/#(]+\s*)(\d+(?:\.\d+)?)(\s*(?:[munpµ]?M|[munpµ]?g(?:/m?l)?|h|hr|%)?\)?)$")
_UNIT = re.compile(r"\s*([^\W\d_]+)")
#: A guide's number is small; a dose grows tenfold.
_MOST_GUIDES = 12


def looks_like_control(label: str) -> bool:
    """Tell whether a label is one that public data use for unperturbed cells, with a number or not.

    Example:
        >>> [looks_like_control(x) for x in ("NT_1", "neg_ctrl", "non-targeting_00012", "WT1", "NTRK1", "ctrl_KLF1")]
        [True, True, True, False, False, False]
    """
    return _CONTROL.fullmatch(label.strip()) is not None


def is_control(label: str, separator: str) -> bool:
    """Tell whether a whole label, or each of its parts, looks like a control."""
    return looks_like_control(label) or all(map(looks_like_control, parts_of(label, separator)))


def as_text(values: pd.Series[Any]) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Write a column's values as labels, without blanks around them; whole numbers as such (0.0 is '0').

    Returns:
        The labels ``[cells]``, and which of them are missing (:data:`MISSING`).
    """
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "SV":  # bytes, of which pandas knows no missing ones
        values = values.astype(object)
    kept: Any = values.cat.categories.to_series() if isinstance(values.dtype, pd.CategoricalDtype) else values
    if pd.api.types.is_float_dtype(kept.dtype) and len(whole := kept.dropna()) and (whole == np.floor(whole)).all():
        kept = kept.astype("Int64")
    text = kept.astype(str).str.strip()
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy()
        labels = np.append(text.to_numpy(dtype=str), "nan")[codes]  # code -1 takes the last
    else:
        labels = text.to_numpy(dtype=str)
    missing = values.isna().to_numpy()
    return np.where(missing, MISSING, labels), missing


def quoted(labels: Iterable[str], most: int = 3) -> str:
    """Quote some labels, so that blanks can be seen, and say that there are more.

    Example:
        >>> quoted(["A ", "B", "C", "D"])
        "'A ', 'B', 'C', ..."
    """
    some = list(labels)
    return ", ".join(f"'{label}'" for label in some[:most]) + (", ..." if len(some) > most else "")


class Numbered(NamedTuple):
    """Labels that differ by a number only.

    Attributes:
        groups: Labels by what they share; several each.
        pattern: Regular expression of what a card would cut off, with the number as its group.
        guides: Whether the numbers are small and consecutive, as those of guides, and not doses.
    """

    groups: dict[str, list[str]]
    pattern: str
    guides: bool


def numbered(labels: Collection[str], separator: str, genes: Collection[str] = ()) -> Numbered | None:
    """Find labels that differ by a number only, such as doses of a compound or guides of a gene.

    Args:
        labels: Labels of perturbed cells.
        separator: Between the constituents of a combination; each is looked at on its own.
        genes: Names that are genes as they are (``NKX2-1``).

    Returns:
        What was found; None = under a quarter of the labels.
    """
    parts = {part for label in labels for part in parts_of(label, separator)}
    found = {part: match for part in sorted(parts) if part not in genes and (match := _NUMBERED.match(part))}
    groups: dict[str, list[str]] = {}
    for part, match in found.items():
        groups.setdefault(match[1], []).append(part)
    groups = {base: sorted(many, key=_natural) for base, many in groups.items() if len(many) > 1}
    inside = [part for many in groups.values() for part in many]
    if not inside or len(inside) < len(parts) / 4:
        return None
    marks = sorted({found[part][2] for part in inside})
    tails = sorted({found[part][4] for part in inside} - {""})
    decimal = any("." in found[part][3] for part in inside)
    pattern = (
        (re.escape(marks[0]) if len(marks) == 1 else r"\s*[-_ @:/#(]+\s*").replace(r"\ ", " ").replace(r"\-", "-")
        + (r"(\d+(?:\.\d+)?)" if decimal else r"(\d+)")
        + ("" if not tails else re.escape(tails[0]).replace(r"\ ", " ") if len(tails) == 1 else ".*")
        + "$"
    )
    numbers = {base: [float(found[part][3]) for part in many] for base, many in groups.items()}
    small = all(max(each) <= _MOST_GUIDES and each[-1] - each[0] <= 2 * len(each) for each in numbers.values())
    return Numbered(groups, pattern, small and not tails and not decimal)


def _natural(label: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", label)]


def cut_doses(labels: Sequence[str], card: Card) -> tuple[list[str], list[str]]:
    """Cut the dose off labels where the card has a pattern for it.

    Returns:
        The labels without it; and the dose of each, with the unit that stands beside it, empty where it has none.
    """
    if card.dose is None:
        return list(labels), [""] * len(labels)
    pattern, doses, cut = re.compile(card.dose), [], []
    for label in labels:
        match = None if matches(label, card.control) else pattern.search(label)
        cut.append((label[: match.start()] + label[match.end() :]).strip() if match else label)
        doses.append("")
        if match:
            beside = _UNIT.match(label[match.end(1) : match.end()]) if match[1] else None
            doses[-1] = f"{match[1] or match[0]} {beside[1] if beside else ''}".strip()
    return cut, doses


def doses_in(labels: Sequence[str], card: Card) -> str:
    """List the doses that are cut off labels, without units, the smallest first; empty = none are."""
    found = {dose.split()[0] for dose in cut_doses(labels, card)[1] if dose}
    return ", ".join(sorted(found, key=_natural)[:6])


def name_labels(labels: Sequence[str], card: Card, source: str) -> list[str]:
    """Map a file's labels to GEARS names, one name each.

    Args:
        labels: The labels, stripped.
        card: Its controls, separator, guide suffix and dose.
        source: What to call the data in messages.

    Raises:
        BenchError: A label with nothing on one side of the separator; labels that people could not tell apart.
    """
    column, separator = card.columns.condition, card.split_at
    bare, _ = cut_doses(labels, card)
    for mark, sign, called in ((INNER_PLUS, "+", "plus"), (AT, "@", "at")):
        if odd := [label for label in labels if mark in label]:
            raise BenchError(
                f"{source}: obs['{column}'] has labels with the wide {called} sign U+{ord(mark):04X} ({quoted(odd)}), "
                f"which stands for a '{sign}' inside a name here. Write an ordinary '{sign}'."
            )
    names = [from_label(label, card.control, separator, card.strip) for label in bare]
    if cut := [label for label, name in zip(labels, names, strict=True) if "" in name.split("+")]:
        raise BenchError(
            f"{source}: obs['{column}'] has labels with nothing on one side of the separator "
            f"'{separator}' ({quoted(cut)}). Correct them, or the card's separator ('none' = no label is a "
            f"combination)."
        )
    of: dict[str, str] = {}
    for name in names:
        if of.setdefault(written(name), name) != name:
            raise BenchError(
                f"{source}: obs['{column}'] has a combination and a single perturbation that are both written "
                f"'{written(name)}'. Rename one of them."
            )
    return names


def overlooked(labels: Iterable[str], names: Iterable[str], separator: str) -> list[str]:
    """Labels that look like controls and were not taken for controls."""
    pairs = zip(labels, names, strict=True)
    return [label for label, name in pairs if name != CONTROL and is_control(label, separator)]
