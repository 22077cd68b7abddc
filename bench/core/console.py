"""What people see: the answer of a command goes to standard output; progress and notes go to standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.segment import Segment

from bench.core.conditions import written
from bench.core.text import amount, escaped, message


class _Escaped:
    """What is printed, with names in it that a terminal would obey written out; the styles are ours and stay."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self.inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            yield segment if segment.control else Segment(escaped(segment.text), segment.style)


class _Escapes(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Escaped(each) for each in renderables]


# Without a terminal there is no width to ask for: 100 columns, as the tables are laid out.
#: Standard error: progress, notes, legends, warnings.
console = Console(stderr=True, highlight=False, soft_wrap=False, width=None if sys.stderr.isatty() else 100)
#: Standard output: boards, comparisons, lists. Colour and bold appear on a terminal only.
answer = Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 100)
for _each in (console, answer):
    _each.push_render_hook(_Escapes())


def about(seconds: float) -> str:
    """Write an estimated duration with the precision that an estimate has.

    Example:
        >>> about(42), about(200), about(9000)
        ('about 40 s', 'about 3 min', 'about 2.5 h')
    """
    if seconds < 5:
        return "a few seconds"
    if seconds < 55:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 3600 else f"about {seconds / 3600:.1f} h"


class Stages:
    """A progress bar over the stages of one or more runs; plain lines where stderr is no terminal.

    Args:
        total: Number of stages that will be entered.
        runs: Number of runs that they belong to; with several, lines say about how long the others will take.
        shown: Whether anything is printed.
    """

    def __init__(self, total: int, runs: int = 1, shown: bool = True) -> None:
        self.total, self.done, self._title = total, 0, ""
        self._shown = shown
        self._runs_left, self._seconds = runs, list[float]()
        self._begun: float | None = None
        self._bar = Progress(
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not (console.is_terminal and shown),
        )
        self._task = self._bar.add_task("starting", total=total)

    def __enter__(self) -> Stages:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def title(self, text: str) -> None:
        """Begin a run and name it, e.g. ``linear | simulated | seed 1``: the next stages belong to it."""
        now = time.perf_counter()
        if self._begun is not None:
            self._seconds.append(now - self._begun)
            self._runs_left -= 1
        self._title, self._begun = text, now

    @contextlib.contextmanager
    def stage(self, text: str) -> Iterator[None]:
        """Show a stage while it runs."""
        where = f"{self._title}: {text}" if self._title else text
        self._bar.update(self._task, description=f"{where:<58}"[:58])
        begin = time.perf_counter()
        yield
        self.done += 1
        self._bar.update(self._task, completed=self.done)
        if self._shown and not console.is_terminal:
            seconds = time.perf_counter() - begin
            console.print(
                f"[{self.done}/{self.total}] {where} ({seconds:.1f} s){self._left()}", markup=False, soft_wrap=True
            )

    def _left(self) -> str:
        """How long the rest will take, by the mean of the runs that have ended."""
        if not self._seconds or self._begun is None or self.done == self.total:
            return ""
        mean = sum(self._seconds) / len(self._seconds)
        spent = min(time.perf_counter() - self._begun, mean)
        return f", {about(mean * self._runs_left - spent)} left"

    def say(self, text: str) -> None:
        """Show what the present stage is doing, where there is a terminal to show it on."""
        where = f"{self._title}: {text}" if self._title else text
        self._bar.update(self._task, description=f"{where:<58}"[:58])

    def skip(self, n: int) -> None:
        """Count stages of the present run that turned out not to be needed; it says nothing about the others' time."""
        self.done += n
        self._bar.update(self._task, completed=self.done)
        if self._begun is not None:
            self._begun, self._runs_left = None, self._runs_left - 1


class Transfer:
    """A progress bar over the bytes of one file; where stderr is no terminal, a plain line now and then.

    Args:
        title: What is transferred.
        every: Seconds between two plain lines.
    """

    def __init__(self, title: str, every: float = 10) -> None:
        self._title, self._every = title, every
        self._total: int | None = None
        self._start = self._said = time.perf_counter()
        self._first = 0
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), DownloadColumn(), TransferSpeedColumn())
        self._bar = Progress(
            *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._bar.add_task(title[:40], total=None)

    def __enter__(self) -> Transfer:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, total: int | None, done: int) -> None:
        """Say how much there is, and how much of it an earlier attempt has left."""
        self._total, self._first, self._start = total, done, time.perf_counter()
        self._said = self._start
        self._bar.update(self._task, total=total, completed=done)
        if not console.is_terminal:
            size = amount(total) if total is not None else "of a size that the server does not say"
            note(f"{self._title}: {size}" + (f", {amount(done)} of it are here already" if done else ""))

    def moved(self, done: int) -> None:
        """Say how many bytes are here."""
        self._bar.update(self._task, completed=done)
        now = time.perf_counter()
        if console.is_terminal or now - self._said < self._every:
            return
        self._said = now
        speed = (done - self._first) / max(now - self._start, 1e-9)
        rest = f" of {amount(self._total)}" if self._total else ""
        left = f", {about((self._total - done) / speed)} left" if self._total and speed else ""
        note(f"{self._title}: {amount(done)}{rest}, {amount(speed)}/s{left}")


def note(text: str) -> None:
    """Print one line for people."""
    console.print(message(written(text)), markup=False)


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
