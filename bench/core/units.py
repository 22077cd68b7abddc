"""Units: a perturbation in a context, which is what is predicted and scored."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from bench.core.conditions import identity, written

#: Stands between perturbation and context in a unit's text form; no label is split at it but in such a text.
SEPARATOR = " | "


class Unit(NamedTuple):
    """A perturbation in a context.

    Attributes:
        perturbation: GEARS name, with dose and time where a screen has several (see :mod:`bench.core.conditions`).
        context: Name of the cell type or line.
    """

    perturbation: str
    context: str

    @property
    def identity(self) -> tuple[frozenset[str], str]:
        """What the unit *is*: the set of its constituents, and its context."""
        return identity(self.perturbation), self.context

    def text(self, contexts: Collection[str]) -> str:
        """Write the unit for people: the perturbation alone where the data have one context.

        Args:
            contexts: All contexts of the data.

        Example:
            >>> Unit("KLF1+ctrl", "K562").text(["K562"]), Unit("KLF1+ctrl", "K562").text(["K562", "RPE1"])
            ('KLF1+ctrl', 'KLF1+ctrl | K562')
        """
        name = written(self.perturbation)
        return name if len(contexts) == 1 else f"{name}{SEPARATOR}{self.context}"
