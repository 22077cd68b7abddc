"""How verbs print their answer: a table for people, JSON or CSV for programs, all on standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.conditions import written
from bench.core.errors import BenchError
from bench.core.text import escaped, message

if TYPE_CHECKING:
    import pandas as pd

    from bench.runner.result import Result


def format_flags(parser: Any) -> None:
    """Add the flags that choose how a table is printed."""
    parser.add_argument("--json", action="store_true", help="the table as JSON, a list of rows")
    parser.add_argument("--csv", action="store_true", help="the table as CSV")


def check_formats(flags: Mapping[str, Any]) -> None:
    """Refuse two forms at once.

    Raises:
        BenchError: Both were asked for.
    """
    if flags["json"] and flags["csv"]:
        raise BenchError("--json and --csv are two forms of one table; choose one.")


def tell(line: object) -> None:
    """Print a line of the answer for people: at most a screen of it, and nothing that a terminal would obey."""
    print(message(written(str(line))), flush=True)


def tell_text(text: str) -> None:
    """Print a text that is also for programs: as it is, but escaped where a person reads it on a terminal."""
    sys.stdout.write(escaped(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def print_table(make: Callable[[], pd.DataFrame], flags: Mapping[str, Any]) -> bool:
    """Print a table as JSON or CSV, with undefined numbers as null or empty, where either was asked for.

    Args:
        make: Makes the table.
        flags: Of :func:`format_flags`.

    Returns:
        Whether it was printed.
    """
    if flags["json"]:
        print(make().to_json(orient="records", indent=1, double_precision=15), flush=True)
    elif flags["csv"]:
        from bench.results.generated import plain_csv

        # As the files of the leaderboards: six significant digits are the same on every machine.
        tell_text(plain_csv(make()))
    return bool(flags["json"] or flags["csv"])


def print_result(result: Result, published: Path, flags: Mapping[str, Any]) -> None:
    """Print the board of a result; below a table for people, the path of the record as the last line."""
    from bench.core.console import note
    from bench.reports.text import print_boards
    from bench.runner.boards import board

    if print_table(lambda: board(result, folders=[published]), flags):
        note(str(result.paths[-1]))
        return
    print_boards([result.leaderboards, published], result.paths)
    tell(result.paths[-1])
