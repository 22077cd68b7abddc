"""What a closed form learned, apart from the task it was fitted on: from features of perturbed genes to shifts.

A model that keeps one answers for perturbations that its task did not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from bench.core.conditions import constituents
from bench.core.typing import Floats
from bench.data.features.treatments import Treatments
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
        treatments: Dose and time, where conditions have them and they enter: as columns, and as multipliers of the
            features.
        length: Of the columns of dose and time.
    """

    banks: tuple[Described, ...]
    solved: Solved
    averaged: bool = False
    treatments: Treatments = field(default_factory=Treatments)
    length: float = 0.0

    @property
    def knows_doses(self) -> bool:
        """Whether it may be asked for a compound at a dose: it has columns for that, or says the same of everything."""
        return bool(self.treatments.names) or not self.banks

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
        return self.solved(with_treatments(rows, self.treatments, self.length, names))

    def kept(self) -> Kept:
        """As plain values and arrays."""
        solved = {each.name: getattr(self.solved, each.name) for each in fields(self.solved)}  # type: ignore[arg-type]
        arrays = {f"solved.{name}": value for name, value in solved.items() if isinstance(value, np.ndarray)}
        arrays |= {f"bank_{i}": bank.values for i, bank in enumerate(self.banks)}
        banks: list[JsonValue] = [list(bank.genes) for bank in self.banks]
        numbers = {name: value for name, value in solved.items() if not isinstance(value, np.ndarray)}
        return Kept(
            {"banks": banks, "averaged": self.averaged, "numbers": numbers, **self._treated()},
            tables={name: torch.tensor(value) for name, value in arrays.items()},
        )

    def _treated(self) -> dict[str, JsonValue]:
        return {"treatments": self.treatments.plain(), "length": self.length} if self.treatments.names else {}

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
        return cls(
            tuple(described),
            made(**arrays, **numbers),
            bool(kept.facts["averaged"]),
            Treatments.from_plain(kept.facts.get("treatments", {})),
            float(str(kept.facts.get("length", 0.0))),
        )


def with_treatments(rows: Floats, treatments: Treatments, length: float, names: Sequence[str]) -> Floats:
    """Features of conditions with those of their doses and times: ``[f, f t, length t]``, as they are without any.

    Args:
        rows: Features ``f [N, F]``.
        treatments: What makes numbers ``t [N, K]`` of the conditions.
        length: Of the columns of ``t``.
        names: The conditions.
    """
    if not treatments.names:
        return rows
    at = treatments(names)
    return np.hstack([rows, *(rows * column[:, None] for column in at.T), length * at])


def constant(shift: Floats) -> ShiftRule:
    """The same shift ``[G]``, whatever the condition."""
    return ShiftRule((), Affine(np.zeros((0, len(shift))), shift))


def of_singles(genes: Sequence[str], shifts: Floats, averaged: bool = False) -> ShiftRule:
    """The sum, or the mean, of the shifts ``[N, G]`` of single perturbations."""
    bank = Described(tuple(genes), np.eye(len(genes)))
    return ShiftRule((bank,), Affine(np.asarray(shifts), np.zeros(shifts.shape[1])), averaged)
