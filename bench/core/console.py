"""What people see: everything goes to stderr, so that stdout stays plain for machines."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

# Without a terminal there is no width to ask for: 100 columns, as the table is laid out.
console = Console(stderr=True, highlight=False, soft_wrap=False, width=None if sys.stderr.isatty() else 100)


class Stages:
    """A progress bar over the stages of one or more runs; plain lines where stderr is no terminal.

    Args:
        total: Number of stages that will be entered.
    """

    def __init__(self, total: int) -> None:
        self.total, self.done, self._title = total, 0, ""
        self._bar = Progress(
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=total)

    def __enter__(self) -> Stages:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def title(self, text: str) -> None:
        """Name what the next stages belong to, e.g. ``linear | simulated | seed 1``."""
        self._title = text

    @contextlib.contextmanager
    def stage(self, text: str) -> Iterator[None]:
        """Show a stage while it runs."""
        where = f"{self._title}: {text}" if self._title else text
        self._bar.update(self._task, description=f"{where:<58}"[:58])
        begin = time.perf_counter()
        yield
        self.done += 1
        self._bar.update(self._task, completed=self.done)
        if not console.is_terminal:
            console.print(f"[{self.done}/{self.total}] {where} ({time.perf_counter() - begin:.1f} s)", markup=False)

    def say(self, text: str) -> None:
        """Show what the present stage is doing, where there is a terminal to show it on."""
        where = f"{self._title}: {text}" if self._title else text
        self._bar.update(self._task, description=f"{where:<58}"[:58])

    def skip(self, n: int) -> None:
        """Count stages that turned out not to be needed."""
        self.done += n
        self._bar.update(self._task, completed=self.done)


def note(text: str) -> None:
    """Print one line for people."""
    console.print(text, markup=False)


def seed_text(seeds: list[int]) -> str:
    """Write seeds shortly.

    Example:
        >>> seed_text([1, 2, 3]), seed_text([1]), seed_text([1, 3])
        ('seeds 1-3', 'seed 1', 'seeds 1, 3')
    """
    ordered = sorted(set(seeds))
    if len(ordered) == 1:
        return f"seed {ordered[0]}"
    if ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"seeds {ordered[0]}-{ordered[-1]}"
    return "seeds " + ", ".join(map(str, ordered))
