"""Errors that a user can act on.

A :class:`BenchError` is shown as one message without a traceback and ends the command with exit code 2;
anything else is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Bad input: the message names what is wrong, what was expected, and what to do."""


def unknown(kind: str, name: str, known: Iterable[str]) -> BenchError:
    """Build the error for a name that is not registered, with the nearest registered one.

    Args:
        kind: What the name should be, e.g. ``"model"``.
        name: What the user wrote.
        known: The names that exist.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return BenchError(f"unknown {kind} '{name}'.{hint} Known: {', '.join(known) or 'none'}.")
