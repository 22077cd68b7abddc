"""Parameters of generators as a card or a name gives them (``g1:noise=0.5,cells=100``), checked by name and type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, get_type_hints

from bench.core.arguments import check
from bench.core.door.documents import parse_yaml
from bench.core.errors import BenchError, nearest

#: A frozen dataclass, whose annotations say what each parameter is.
P = TypeVar("P")


def read(given: str, called: str) -> dict[str, Any]:
    """Read ``parameter=value`` parted by commas.

    Args:
        given: What was typed.
        called: What it belongs to, for messages.

    Raises:
        BenchError: A parameter without a value, or a value that is none.
    """
    values: dict[str, Any] = {}
    for part in given.split(","):
        key, equals, value = part.partition("=")
        if not key or not equals or not value:
            raise BenchError(f"{called}: expected parameter=value after the colon, got '{part}'.")
        try:
            values[key.strip()] = _number(parse_yaml(value))
        except ValueError as error:
            raise BenchError(f"{called}: parameter '{key}': {error}.") from error
    return values


def changed(defaults: P, values: Mapping[str, Any], called: str) -> P:
    """A generator's parameters with some of them set.

    Args:
        defaults: All of them.
        values: Those to set.
        called: What sets them, for messages: a card, or a name as its user typed it.

    Raises:
        BenchError: A parameter that the generator does not have, a value of another type, or one that it refuses.
    """
    kinds = get_type_hints(type(defaults), include_extras=True)
    for name, value in values.items():
        if name not in kinds:
            raise BenchError(f"{called}: no parameter '{name}'.{nearest(name, kinds)} Parameters: {', '.join(kinds)}.")
        try:
            check(name, value, kinds[name])
        except ValueError as error:
            raise BenchError(f"{called}: {error}.") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise BenchError(f"{called}: {name} is {value:g}; expected a finite number.")
    try:
        made: P = replace(defaults, **values)  # type: ignore[type-var]
    except ValueError as error:
        raise BenchError(f"{called}: {error}.") from error
    return made


def _number(value: Any) -> Any:
    """A value of YAML, to which ``1e-3`` is a text, as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
