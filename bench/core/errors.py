"""Errors that a user can act on.

A :class:`BenchError` is shown as one message without a traceback and ends the command with exit code 2;
anything else is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from bench.core.text import listed, message

#: Names that a misspelt one is compared with, and characters of it: comparing takes their product.
_COMPARED, _LONGEST = 1000, 64
#: Names that are printed.
_NAMED = 60


class BenchError(Exception):
    """Bad input: the message names what is wrong, what was expected, and what to do.

    It is one line of a screen at most, whatever a file holds (:func:`bench.core.text.message`).
    """

    def __init__(self, text: str) -> None:
        super().__init__(message(text))


def nearest(name: object, known: Iterable[str]) -> str:
    """Name the known name that looks most like one, for the end of a message; empty = none does.

    Example:
        >>> nearest("lineer", ["linear", "jepa"]), nearest("xyz", ["linear"])
        (" Did you mean 'linear'?", '')
    """
    word, names = str(name)[:_LONGEST], list(known)
    if len(names) > _COMPARED:  # those of one first letter before the others
        names = sorted(names, key=lambda each: each[:1].casefold() != word[:1].casefold())[:_COMPARED]
    near = difflib.get_close_matches(word, [each for each in names if len(each) <= 2 * _LONGEST], n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> BenchError:
    """Build the error for a name that is not registered, with the nearest registered one.

    Args:
        kind: What the name should be, e.g. ``"model"``.
        name: What the user wrote.
        known: The names that exist.
    """
    known = sorted(set(known))
    shown = name if len(name) <= 2 * _LONGEST else f"{name[:_LONGEST]}..."
    return BenchError(f"unknown {kind} '{shown}'.{nearest(name, known)} Known: {listed(known, _NAMED)}.")
