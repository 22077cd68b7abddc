"""Dose and time of conditions as numbers that models can take: logarithms, standardised on train conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from bench.core.conditions import CONTROL, read_treated, written
from bench.core.errors import BenchError
from bench.core.typing import Floats

PARTS = ("dose", "time")


@dataclass(frozen=True)
class Treatments:
    """Log10 of dose and time, each less its mean over the train conditions and divided by its SD there.

    A response grows with the logarithm of the dose over the few decades in which it grows at all (Hill's curve).

    Attributes:
        names: Which of ``dose`` and ``time`` these conditions have, ``K`` of them; none in a genetic screen.
        mean: Mean of the logarithms over train conditions ``[K]``.
        sd: Their SD ``[K]``; 1 where all are the same.
    """

    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()

    @classmethod
    def of(cls, train: Sequence[str]) -> Treatments:
        """Standardise on these conditions, each counting once."""
        read = [read_treated(name) for name in train]
        names = tuple(part for part in PARTS if any(getattr(one, part) is not None for one in read))
        if not names:
            return cls()
        logs = np.log10(np.array([[getattr(one, part) for part in names] for one in read]))
        sd = logs.std(axis=0)
        return cls(names, tuple(logs.mean(axis=0).tolist()), tuple(np.where(sd > 1e-9, sd, 1.0).tolist()))

    def plain(self) -> dict[str, JsonValue]:
        """As plain values."""
        return {"names": list(self.names), "mean": list(self.mean), "sd": list(self.sd)}

    @classmethod
    def from_plain(cls, plain: object) -> Treatments:
        """From what :meth:`plain` gave; from an empty mapping, none.

        Raises:
            TypeError: It is something else.
        """
        if not isinstance(plain, Mapping):
            raise TypeError(f"a {type(plain).__name__} where scales of dose and time belong")
        return cls(**{name: tuple(values) for name, values in plain.items()})

    def __call__(self, conditions: Sequence[str]) -> Floats:
        """Numbers of these conditions ``[N, K]``; the control has zeros.

        Raises:
            BenchError: A condition that lacks what the train conditions have, or has what they lack.
        """
        out = np.zeros((len(conditions), len(self.names)))
        for i, name in enumerate(conditions):
            if name == CONTROL:
                continue
            treatment = read_treated(name)
            there = tuple(part for part in PARTS if getattr(treatment, part) is not None)
            if there != self.names:
                has, wants = (" and ".join(parts) or "no dose or time" for parts in (there, self.names))
                raise BenchError(
                    f"'{written(name)}' names {has}, and the model was trained on conditions with {wants}: write "
                    f"'{_example(self.names)}'."
                )
            logs = np.array([np.log10(getattr(treatment, part)) for part in self.names])
            out[i] = (logs - self.mean) / self.sd
        return out


def _example(names: Sequence[str]) -> str:
    amounts = {"dose": "0.1 uM", "time": "24 h"}
    return "JQ1" + (" @ " + " ".join(amounts[name] for name in names) if names else "")
