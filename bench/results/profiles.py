"""Who made profiles of wells: what their records say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.results.records import Budget


@dataclass(frozen=True)
class Profiles:
    """Who made the profiles.

    Attributes:
        name: Name of the row: ``profile``, ``embedding``, or an encoder's.
        kind: See :class:`bench.results.records.Record`.
        version: Of what made them.
        arguments: Its arguments, resolved.
        variant: Those that differ from its defaults.
        seed: Of its pretraining.
        budget: What it cost.
        warnings: What a reader should know.
        inputs: Hashes of what defines it beside the spec.
        selection: How its weights were chosen.
    """

    name: str
    kind: Literal["model", "control", "reference"] = "model"
    version: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)
    variant: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 1
    budget: Budget = field(default_factory=Budget)
    warnings: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    selection: str | None = None
