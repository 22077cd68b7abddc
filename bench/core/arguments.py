"""Checks of arguments; each names the argument, its value and what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bench.core.errors import BenchError


def check_choices(function: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Refuse values that their parameters' ``Literal`` types do not list.

    Args:
        function: Its annotations say what is allowed.
        values: The arguments by name; others than its parameters are ignored.

    Raises:
        ValueError: Naming the first that is not allowed.
    """
    for name, kind in get_type_hints(function).items():
        if get_origin(kind) is Literal and values[name] not in get_args(kind):
            raise ValueError(f"{name} is '{values[name]}'; expected one of {', '.join(get_args(kind))}")


def at_least(least: int, **numbers: int) -> None:
    """Refuse numbers under a smallest one.

    Raises:
        ValueError: Naming the first.
    """
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name} is {number}; it must be at least {least}")


def not_negative(**numbers: float) -> None:
    """Refuse numbers under 0.

    Raises:
        ValueError: Naming the first.
    """
    for name, number in numbers.items():
        if number < 0:
            raise ValueError(f"{name} is {number:g}; it must not be negative")


def seeds(text: str) -> list[int]:
    """Read ``3``, ``1-3`` or ``1,2,5``.

    Example:
        >>> seeds("1-3"), seeds("1,4")
        ([1, 2, 3], [1, 4])

    Raises:
        BenchError: Anything else.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise BenchError(f"seed '{text}': expected a number (1), a range (1-3) or a list (1,2,5).")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(found))
