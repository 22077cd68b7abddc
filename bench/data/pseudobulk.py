"""Means of units' cells, and how far these moved from control cells: what closed forms learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.dataset import Dataset
from bench.stats.shifts import group_sums


@dataclass(frozen=True)
class Pseudobulk:
    """Means and shifts of T units of one part of a split, or of its conditions over all their contexts.

    Attributes:
        conditions: Condition names ``[T]``; in several contexts a name is there several times.
        means: Mean expression ``[T, G]``, float64.
        shifts: ``means`` less the mean of the input cells of the same context ``[T, G]``.
        cells: Cells of each unit ``[T]``.
        contexts: Context names ``[T]``; empty once contexts were averaged.
    """

    conditions: tuple[str, ...]
    means: Floats
    shifts: Floats
    cells: Floats
    contexts: tuple[str, ...] = ()

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units ``[T]``; none once contexts were averaged."""
        return tuple(map(Unit, self.conditions, self.contexts))

    def by_condition(self) -> Pseudobulk:
        """One row per condition, each cell counting once: for models that know nothing of contexts.

        Where every condition has one row, these are the rows as they are.
        """
        names = tuple(dict.fromkeys(self.conditions))
        if len(names) == len(self.conditions):
            return self
        position = {name: i for i, name in enumerate(names)}
        share = np.zeros((len(names), len(self.conditions)))
        share[[position[name] for name in self.conditions], np.arange(len(self.conditions))] = self.cells
        cells = share.sum(axis=1)
        share /= cells[:, None]
        return Pseudobulk(names, share @ self.means, share @ self.shifts, cells)


def pseudobulk(dataset: Dataset, units: Sequence[Unit], inputs: Floats) -> Pseudobulk:
    """Take the means of some units.

    Args:
        dataset: The cells.
        units: Units with a cell each ``[T]``.
        inputs: Mean of the input cells by context ``[C, G]``.
    """
    group = np.full(len(dataset.condition), -1)
    for i, unit in enumerate(units):
        group[dataset.unit_rows(unit)] = i
    sums, _, cells = group_sums(dataset.x, group, len(units))
    means = sums / np.maximum(cells, 1)[:, None]
    where = [dataset.contexts.index(unit.context) for unit in units]
    names, contexts = tuple(unit.perturbation for unit in units), tuple(unit.context for unit in units)
    return Pseudobulk(names, means, means - inputs[where], cells, contexts)
