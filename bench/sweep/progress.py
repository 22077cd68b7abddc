"""What a user sees of a sweep: one line for each run that ends, and below, on a terminal, what is running."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.live import Live
from rich.table import Table
from rich.text import Text

from bench.core.console import about, console, note, seed_text
from bench.sweep.job import Job
from bench.sweep.schedule import Outcome

#: Seconds between pictures on a terminal.
REFRESH = 0.5


class Progress:
    """Shows a sweep while it goes on.

    Args:
        total: Number of runs.
    """

    def __init__(self, total: int) -> None:
        self.total, self.count = total, Counter[str]()
        self._running: dict[str, tuple[Job, float]] = {}
        self._begin = self._shown = time.monotonic()
        # No thread of its own: jobs are begun from this process.
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._told_waiting = False
        self._worked = 0  # runs that ended and were not done already

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def started(self, job: Job) -> None:
        """A run has begun."""
        self._running[f"{job.verb} {job.spec.run_id}"] = (job, time.monotonic())
        self._show(now=True)

    def ended(self, outcome: Outcome) -> None:
        """A run has ended; of those that were done already there is no line."""
        self.count[outcome.state] += 1
        self._running.pop(f"{outcome.job.verb} {outcome.job.spec.run_id}", None)
        if outcome.state == "skipped":
            return
        place = f"[{sum(self.count.values()):>{len(str(self.total))}}/{self.total}]"
        self._worked += 1
        text = Text(f"{place} {outcome.job.row} | {outcome.job.task} ({outcome.seconds:.1f} s){self._left()}")
        if outcome.state == "failed":
            text.append(f" failed: {outcome.reason}", style="red")
        console.print(text, soft_wrap=True)
        self._show(now=True)

    def _left(self) -> str:
        """How long the other runs will take, by the pace so far."""
        left = self.total - sum(self.count.values())
        pace = (time.monotonic() - self._begin) / max(1, self._worked)
        return f", {about(pace * left)} left" if left else ""

    def tick(self, waiting: bool) -> None:
        """Time has passed."""
        if waiting and not self._told_waiting:
            note("what is left is being done by another sweep; waiting for it")
        self._told_waiting = waiting
        self._show()

    def _show(self, now: bool = False) -> None:
        if self._live and (now or time.monotonic() - self._shown > REFRESH):
            self._shown = time.monotonic()
            self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Table:
        view = Table(box=None, pad_edge=False, show_header=False)
        done = sum(self.count.values())
        failed = f", {self.count['failed']} failed" if self.count["failed"] else ""
        clock = time.strftime("%H:%M:%S", time.gmtime(time.monotonic() - self._begin))
        view.add_row(
            Text(f"{done} of {self.total} runs{failed} | {clock}{self._left() if self._worked else ''}", style="bold")
        )
        for job, begin in self._running.values():
            view.add_row(Text(f"  {job.row} | {job.task} | {time.monotonic() - begin:.0f} s {_stage(job.log)}"))
        return view


def _stage(log: Path) -> str:
    """How many stages a run has behind it, from its log."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 2_000))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    stages = [line.split("]")[0] + "]" for line in lines if line.startswith("[")]
    return stages[-1] if stages else ""


def table(jobs: Sequence[Job], done: Sequence[Job], failed: Sequence[Job] = ()) -> Table:
    """One line for each row of a board: its runs, and how they stand."""
    view = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("data", "split", "row", "seeds"):
        view.add_column(title, overflow="fold")
    for title in ("runs", "finished", "failed", "to do"):
        view.add_column(title, justify="right")
    rows: dict[tuple[str, str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        rows[job.spec.dataset, job.spec.split, job.row].append(job)
    ready, bad = ({(job.verb, job.spec.run_id) for job in some} for some in (done, failed))
    for (data, split, row), same in rows.items():
        ids = [(job.verb, job.spec.run_id) for job in same]
        n, m = sum(i in ready for i in ids), sum(i in bad for i in ids)
        seeds = seed_text([job.spec.split_seed for job in same]).removeprefix("seeds ").removeprefix("seed ")
        folds = ", both folds" if len({job.spec.control_fold for job in same}) > 1 else ""
        words = (data, split, row, seeds + folds, str(len(ids)), str(n), str(m or ""), str(len(ids) - n - m or ""))
        view.add_row(*map(Text, words))  # a row's name may hold brackets, which rich would take for its markup
    return view
