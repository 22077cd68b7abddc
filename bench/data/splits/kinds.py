"""Kinds of split: each file of this folder declares its own in ``KINDS``; to add one is to add a file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

from bench.core.units import Unit
from bench.data.dataset import Dataset

PARTS = ("train", "val", "test")
#: Changes when the same inputs would give another split.
VERSION = 1


class Drawn(NamedTuple):
    """What a kind of split says of a data set.

    Attributes:
        parts: Members of ``train``, ``val`` and ``test``: conditions as the file spells them, which are in their part
            in every context, or units, which are in one context only. Where two spellings of a condition are in
            different parts, the later part gets both.
        notes: What a user should know, one sentence each.
        complete: Whether conditions in no part are accounted for in the notes.
    """

    parts: Mapping[str, Sequence[str | Unit]]
    notes: tuple[str, ...] = ()
    complete: bool = False


#: ``(data set, seed, file of lists or None) -> parts``; raises ``BenchError`` where the data cannot give them.
Draw: TypeAlias = Callable[[Dataset, int, Path | None], Drawn]


@dataclass(frozen=True)
class SplitKind:
    """A kind of split.

    Attributes:
        name: What users type.
        draw: Gives its parts; a pure function of units and seed.
    """

    name: str
    draw: Draw


@cache
def kinds() -> dict[str, SplitKind]:
    """All kinds by name."""
    names = [found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)])]
    modules = [importlib.import_module(f"{__package__}.{name}") for name in names]
    return {kind.name: kind for module in modules for kind in getattr(module, "KINDS", ())}
