"""Kinds of split: each file of this folder declares its own in ``KINDS``; to add one is to add a file.

A kind is asked for by name, with options after a colon: ``few_shot_context:k=5``. Some options go with any kind:

- ``label_fraction=0.25``: only a quarter of the train members are labelled; see :attr:`Asked.label_fraction`.
- ``input_cells=10``: models see 10 control cells of each context that is held out.
- ``input_depth=0.25``: of the counts of those cells they see a quarter.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from bench.core.errors import BenchError, unknown
from bench.core.units import Unit

PARTS = ("train", "val", "test")
#: Changes when the same inputs would give another split.
VERSION = 1


class Drawn(NamedTuple):
    """What a kind of split says of a data set.

    Attributes:
        parts: Members of ``train``, ``val`` and ``test``: conditions as the file spells them, which are in their part
            in every context, or units, which are in one context only. A name without dose and time stands for all doses
            and times of it. Where two spellings of a condition are in
            different parts, the later part gets both.
        notes: What a user should know, one sentence each.
        complete: Whether conditions in no part are accounted for in the notes.
        kept: Barcodes of cells of train units that no model sees.
    """

    parts: Mapping[str, Sequence[str | Unit]]
    notes: tuple[str, ...] = ()
    complete: bool = False
    kept: Mapping[Unit, tuple[str, ...]] = MappingProxyType({})


#: ``(data set, seed, file of lists or None, **options) -> parts``; a ``BenchError`` where the data cannot give them.
Draw: TypeAlias = Callable[..., Drawn]


@dataclass(frozen=True)
class Option:
    """A number that a kind of split takes.

    Attributes:
        low: Smallest value.
        high: Largest value.
        whole: Whether only whole numbers make sense.
        default: Value where it is not given; None = it is then left out.
    """

    low: float
    high: float
    whole: bool = False
    default: float | None = None

    def read(self, text: str) -> float:
        """Read a value.

        Raises:
            ValueError: Not a number, or out of bounds; the message says what was expected.
        """
        expected = f"expected a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}"
        try:
            value = float(text)
        except ValueError:
            raise ValueError(expected) from None
        if not self.low <= value <= self.high or (self.whole and value != int(value)):
            raise ValueError(expected)
        return value


#: Options that any kind takes.
LABEL_FRACTION, INPUT_CELLS, INPUT_DEPTH = "label_fraction", "input_cells", "input_depth"
SHARED = {
    LABEL_FRACTION: Option(0.01, 1.0, default=1.0),
    INPUT_CELLS: Option(1, 256, whole=True),
    INPUT_DEPTH: Option(0.01, 1.0, default=1.0),
}


@dataclass(frozen=True)
class SplitKind:
    """A kind of split.

    Attributes:
        name: What users type.
        draw: Gives its parts; a pure function of units, seed and options.
        options: Numbers that it takes, by name.
        bars: Models that whoever claims to know something has to beat.
        by_context: Whether contexts are held out.
    """

    name: str
    draw: Draw
    options: Mapping[str, Option] = field(default_factory=dict)
    bars: tuple[str, ...] = ("train_mean", "additive", "ridge", "constant_encoder", "random_encoder")
    by_context: bool = False


@cache
def kinds() -> dict[str, SplitKind]:
    """All kinds by name."""
    names = [found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)])]
    modules = [importlib.import_module(f"{__package__}.{name}") for name in names]
    return {kind.name: kind for module in modules for kind in getattr(module, "KINDS", ())}


def with_option(text: str, option: str, value: float) -> str:
    """Add an option to a split as it is asked for: ``unseen_context`` becomes ``unseen_context:input_cells=3``."""
    return f"{text}{',' if ':' in text else ':'}{option}={value:g}"


class Asked(NamedTuple):
    """A split as it was asked for.

    Attributes:
        kind: Its kind.
        options: Values of the kind's own options.
        label_fraction: Share of the train members whose labels heads and closed forms may use.
        input_cells: Control cells of each held-out context that models see; None = all of the input half.
        input_depth: Share of the counts of these cells that models see.
        text: The same as text, in one spelling: ``kind:option=value,...``.
    """

    kind: SplitKind
    options: dict[str, float]
    label_fraction: float
    input_cells: int | None
    input_depth: float
    text: str


def asked(text: str) -> Asked:
    """Read what split is asked for: a kind, or ``kind:option=value,...``.

    Raises:
        BenchError: An unknown kind or option, or a value that the option does not take.
    """
    name, colon, given = text.partition(":")
    if name not in kinds():
        raise unknown("split", name, kinds())
    kind = kinds()[name]
    takes = {**kind.options, **SHARED}
    values: dict[str, float] = {}
    for part in given.split(",") if colon else ():
        key, _, value = (word.strip() for word in part.partition("="))
        if key not in takes:
            raise BenchError(f"split '{text}': {unknown('option', key, takes)}")
        try:
            values[key] = takes[key].read(value)
        except ValueError as error:
            raise BenchError(f"split '{text}', {key}: {error}; it is '{value}'.") from None
    written = [f"{key}={values[key]:g}" for key in takes if key in values and values[key] != takes[key].default]
    defaults = {key: option.default for key, option in takes.items() if option.default is not None}
    full = {**defaults, **values}
    fraction, few, depth = full.pop(LABEL_FRACTION), full.pop(INPUT_CELLS, None), full.pop(INPUT_DEPTH)
    spelled = f"{name}:{','.join(written)}" if written else name
    return Asked(kind, full, fraction, None if few is None else int(few), depth, spelled)


def kind_of(name: str) -> str:
    """The kind of split that a board's name stands for: ``few_shot_context-k5`` is ``few_shot_context:k=5``."""
    kind, *options = name.split("-")
    spelt = []
    for option in options:
        key = option.rstrip("0123456789.")
        spelt.append(f"{key}={option[len(key) :]}")
    return f"{kind}:{','.join(spelt)}" if spelt else kind
