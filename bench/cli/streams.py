"""Standard output and error that are closed, full, or no longer read."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

from bench.core.text import message


class Unwritten(OSError):
    """Standard output cannot be written."""


class _Stream:
    """A standard stream as it is, but for what happens where it cannot be written.

    Args:
        inner: The stream.
        failed: What happens then.
    """

    def __init__(self, inner: TextIO, failed: Callable[[TextIO, OSError], None]) -> None:
        self._inner, self._failed = inner, failed

    def write(self, text: str) -> int:
        try:
            return self._inner.write(text)
        except OSError as error:
            self._failed(self._inner, error)
            return len(text)

    def flush(self) -> None:
        try:
            self._inner.flush()
        except OSError as error:
            self._failed(self._inner, error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _no_answer(stream: TextIO, error: OSError) -> None:
    """Standard output: without it there is no answer, and the error must not be taken for one of a file."""
    if isinstance(error, BrokenPipeError):
        raise error
    raise Unwritten(error.errno, error.strerror) from error


def _no_progress(stream: TextIO, error: OSError) -> None:
    """Standard error: progress that cannot be written must not end a run."""
    drop(stream)


def prepare() -> None:
    """Make both streams safe; a process that was started without one (``>&-``) gets one that goes nowhere."""
    out, err = sys.stdout, sys.stderr
    if out is None or out is sys.__stdout__:
        sys.stdout = cast(TextIO, _Stream(out or open(os.devnull, "w"), _no_answer))  # noqa: SIM115
    if err is None or err is sys.__stderr__:
        sys.stderr = cast(TextIO, _Stream(err or open(os.devnull, "w"), _no_progress))  # noqa: SIM115


def drop(stream: TextIO) -> None:
    """Send to nowhere what a stream still holds; Python would complain of it once more when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def refused(error: Unwritten) -> int:
    """Say that the answer could not be written; return the exit code."""
    drop(sys.stdout)
    print("error:", message(f"standard output: {error.strerror}."), file=sys.stderr)
    return 2


def flushed(code: int) -> int:
    """Write what standard output still holds; return the exit code, which is another where that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has what it wanted
        drop(sys.stdout)
    except Unwritten as error:
        return refused(error)
    return code
