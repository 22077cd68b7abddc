"""Pickles of plain containers: nothing in them is executed, and they are unpickled elsewhere first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.core.door import watched
from bench.core.door.limits import size_of
from bench.core.door.look import PlainUnpickler, Refused
from bench.core.errors import BenchError
from bench.core.text import amount

#: Bytes of such a file.
_MOST = 1 << 28


def read_pickle(path: Path, what: str, advice: str) -> Any:
    """Read a pickle that holds only dict, set, list and text.

    Args:
        path: The file.
        what: What it should be, for the message: ``a gene2go file``.
        advice: What was expected, or what to do; a sentence.

    Raises:
        BenchError: It asks for more (nothing in it is executed), is damaged, or takes too long or too much memory.
    """
    if (size := size_of(path)) > _MOST:
        raise BenchError(f"{path}: {amount(size)}, and at most {amount(_MOST)} of {what} are read.")
    try:
        watched.check(path, "pickle")
        with open(path, "rb") as handle:
            return PlainUnpickler(handle).load()
    except BenchError:
        raise
    except Refused as error:
        raise BenchError(
            f"{path}: {error}; {what} holds only dict, set, list and text. "
            f"It was refused and nothing in it was executed. Do not open it elsewhere; get the file from its source."
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        text = " ".join(str(error).split()) or type(error).__name__
        raise BenchError(f"{path}: not a readable {what.split(maxsplit=1)[-1]} ({text}). {advice}") from error
