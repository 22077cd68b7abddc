"""What a closed form learned, apart from the task it was fitted on: from features of perturbed genes to shifts.

A model that keeps one answers for perturbations that its task did not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from bench.core.conditions import constituents
from bench.core.typing import Floats
from bench.models.kept import Kept, refuse_unknown, unknown_constituents


class Solved(Protocol):
    """The solution of a closed form, a dataclass of arrays and numbers: features ``[N, F]`` -> shifts ``[N, G]``."""

    def __call__(self, features: Floats, /) -> Floats:
        """Shifts ``[N, G]`` of conditions with these features ``[N, F]``."""
        ...


@dataclass(frozen=True, eq=False)
class Affine:
    """``b + f W``.

    Attributes:
        weights: ``W [F, G]``.
        intercept: ``b [G]``.
    """

    weights: Floats
    intercept: Floats

    def __call__(self, features: Floats) -> Floats:
        """Shifts ``[N, G]``."""
        return self.intercept + features @ self.weights


@dataclass(frozen=True, eq=False)
class Described:
    """Features of genes.

    Attributes:
        genes: ``[N]``.
        values: ``[N, F]``.
    """

    genes: tuple[str, ...]
    values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class ShiftRule:
    """Shifts of conditions from the features of their constituents, summed, bank beside bank.

    Attributes:
        banks: Features of genes; none = every condition has the same shift.
        solved: What was fitted.
        averaged: Whether features are averaged over constituents, and not summed.
    """

    banks: tuple[Described, ...]
    solved: Solved
    averaged: bool = False

    def shifts(self, names: Sequence[str]) -> Floats:
        """Shifts ``[N, G]`` of any conditions.

        Raises:
            BenchError: A constituent that no bank describes.
        """
        index = [{gene: i for i, gene in enumerate(bank.genes)} for bank in self.banks]
        if self.banks:
            known = set().union(*index)
            refuse_unknown({name: unknown_constituents(name, known) for name in names}, sorted(known))
        width = sum(bank.values.shape[1] for bank in self.banks)
        rows = np.zeros((len(names), width))
        for i, name in enumerate(names):
            genes = constituents(name)
            parts = [
                bank.values[[at[gene] for gene in genes if gene in at]].sum(axis=0, dtype=np.float64)
                for bank, at in zip(self.banks, index, strict=True)
            ]
            rows[i] = np.concatenate([*parts, []]) / (len(genes) if self.averaged else 1)
        return self.solved(rows)

    def kept(self) -> Kept:
        """As plain values and arrays."""
        solved = {each.name: getattr(self.solved, each.name) for each in fields(self.solved)}  # type: ignore[arg-type]
        arrays = {f"solved.{name}": value for name, value in solved.items() if isinstance(value, np.ndarray)}
        arrays |= {f"bank_{i}": bank.values for i, bank in enumerate(self.banks)}
        banks: list[JsonValue] = [list(bank.genes) for bank in self.banks]
        numbers = {name: value for name, value in solved.items() if not isinstance(value, np.ndarray)}
        return Kept(
            {"banks": banks, "averaged": self.averaged, "numbers": numbers},
            tables={name: torch.tensor(value) for name, value in arrays.items()},
        )

    @classmethod
    def restored(cls, kept: Kept, made: type[Any]) -> ShiftRule:
        """What was kept.

        Args:
            kept: From :meth:`kept`.
            made: The class of the solution.
        """
        banks, numbers = kept.facts["banks"], kept.facts["numbers"]
        assert isinstance(banks, list)
        assert isinstance(numbers, dict)
        arrays = {key.removeprefix("solved."): t.numpy() for key, t in kept.tables.items() if key.startswith("solved.")}
        described = []
        for i, genes in enumerate(banks):
            assert isinstance(genes, list)
            described.append(Described(tuple(map(str, genes)), kept.tables[f"bank_{i}"].numpy()))
        return cls(tuple(described), made(**arrays, **numbers), bool(kept.facts["averaged"]))


def constant(shift: Floats) -> ShiftRule:
    """The same shift ``[G]``, whatever the condition."""
    return ShiftRule((), Affine(np.zeros((0, len(shift))), shift))


def of_singles(genes: Sequence[str], shifts: Floats, averaged: bool = False) -> ShiftRule:
    """The sum, or the mean, of the shifts ``[N, G]`` of single perturbations."""
    bank = Described(tuple(genes), np.eye(len(genes)))
    return ShiftRule((bank,), Affine(np.asarray(shifts), np.zeros(shifts.shape[1])), averaged)
