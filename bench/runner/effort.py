"""What every trained row of a screen of known latents may spend: no row is better for having been trained longer."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from pydantic import ConfigDict

from bench.core.errors import BenchError


@dataclass(frozen=True)
class Effort:
    """What every trained row may spend.

    Attributes:
        steps: Optimiser steps.
        hidden: Width of hidden layers.
        batch_size: Cells per step.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    steps: int = 1_500
    hidden: int = 128
    batch_size: int = 128

    @property
    def variant(self) -> dict[str, int]:
        """What differs from the usual effort: it is part of a trained row's name."""
        usual = asdict(Effort())
        return {name: value for name, value in asdict(self).items() if value != usual[name]}

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("hidden", 1), ("batch_size", 6)):
            if getattr(self, name) < least:
                raise BenchError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected {least} or more.")
