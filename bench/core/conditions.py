"""Condition names in the GEARS convention: ``ctrl``, ``KLF1+ctrl``, ``SET+KLF1``.

A double keeps the constituent order of its file, because cell-gears sorts these strings when it draws a split;
everywhere else a condition is the *set* of its constituents.
"""

from __future__ import annotations

from collections.abc import Iterable

CONTROL = "ctrl"

#: Labels that public data sets use for unperturbed cells, compared without case.
CONTROL_LABELS = (
    "ctrl",
    "control",
    "non-targeting",
    "nontargeting",
    "nt",
    "negative_control",
    "neg",
    "safe-targeting",
    "scramble",
    "wt",
    "untreated",
    "mock",
    "dmso",
    "vehicle",
    "unperturbed",
)


def constituents(condition: str) -> tuple[str, ...]:
    """Return the perturbed genes of a condition in the order of its name; ``()`` for the control.

    Example:
        >>> constituents("SET+KLF1"), constituents("KLF1+ctrl"), constituents("ctrl")
        (('SET', 'KLF1'), ('KLF1',), ())
    """
    return tuple(part for part in condition.split("+") if part != CONTROL)


def identity(condition: str) -> frozenset[str]:
    """Return what a condition *is*: the set of its constituents (``A+B`` is ``B+A``, ``ctrl+A`` is ``A+ctrl``)."""
    return frozenset(constituents(condition))


def single(gene: str) -> str:
    """Return the name of the single perturbation of a gene.

    Example:
        >>> single("KLF1")
        'KLF1+ctrl'
    """
    return f"{gene}+{CONTROL}"


def from_label(label: str, control: Iterable[str], separator: str) -> str:
    """Map a file's own label to its GEARS name.

    Args:
        label: The label as it stands in the file, e.g. ``"SET_KLF1"`` or ``"control"``.
        control: The file's labels for unperturbed cells.
        separator: What stands between the constituents of a combination.

    Example:
        >>> from_label("KLF1", ["control"], "+"), from_label("SET_KLF1", ["NT"], "_"), from_label("NT_NT", ["NT"], "_")
        ('KLF1+ctrl', 'SET+KLF1', 'ctrl')
    """
    known = set(control) | {CONTROL}
    if label in known:
        return CONTROL
    parts = [CONTROL if part in known else part for part in label.split(separator)] if separator else [label]
    parts = list(dict.fromkeys(parts))  # two guides of one gene are one perturbation, not a pair
    if all(part == CONTROL for part in parts):
        return CONTROL
    return single(parts[0]) if len(parts) == 1 else "+".join(parts)


def merge_spellings(names: Iterable[str]) -> dict[str, str]:
    """Map every spelling to one name per condition identity: the first of its spellings in sorted order.

    Example:
        >>> merge_spellings(["B+A", "A+B", "ctrl+C"])
        {'A+B': 'A+B', 'B+A': 'A+B', 'ctrl+C': 'ctrl+C'}
    """
    first: dict[frozenset[str], str] = {}
    return {name: first.setdefault(identity(name), name) for name in sorted(set(names))}
