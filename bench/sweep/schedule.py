"""Which job is done when: in order, so many at once, never two that share a checkpoint, never one that is done."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol

from bench.sweep.executors.base import LOST, MakeExecutor
from bench.sweep.job import Job, work_of

State = Literal["skipped", "finished", "failed"]
#: Seconds between looks at what another sweep holds.
LOOK = 0.2


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        job: Which.
        state: ``skipped``: it was done already; ``finished``: it is now; ``failed``: it is not.
        record: Path of its record under the leaderboards folder.
        seconds: How long it took.
        reason: Why it failed.
    """

    job: Job
    state: State
    record: Path | None = None
    seconds: float = 0.0
    reason: str = ""


class Watcher(Protocol):
    """Who is told how things stand."""

    def started(self, job: Job) -> None:
        """A job has begun."""

    def ended(self, outcome: Outcome) -> None:
        """A job has ended, or was done already."""

    def tick(self, waiting: bool) -> None:
        """Time has passed; ``waiting`` = all that is left is held by another sweep."""


class Locks:
    """Holds keys against other sweeps that write to the same folder; the system frees them when a process dies.

    One byte of one file for each key. Where there are no file locks, nothing is held.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = open(folder / ".sweep.lock", "ab")  # noqa: SIM115 - held as long as the sweep
        self._held: set[str] = set()

    def take(self, key: str) -> bool:
        """Hold a key, unless this or another sweep holds it."""
        if key in self._held:
            return False
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
            except BlockingIOError:
                return False
            except OSError:  # a disk without locks
                pass
        self._held.add(key)
        return True

    def free(self, key: str) -> None:
        """Let go of a key."""
        self._held.discard(key)
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(key))

    def close(self) -> None:
        """Let go of all."""
        self._file.close()


def _place(key: str) -> int:
    return int(hashlib.sha256(key.encode()).hexdigest()[:12], 16)


def run_all(jobs: Sequence[Job], count: int, out: Path, watch: Watcher, make: MakeExecutor) -> Iterator[Outcome]:
    """Do jobs; yield how each ended.

    Args:
        jobs: In the order in which they are begun; those that are done already among them.
        count: How many at once.
        out: Folder of the runs.
        watch: Is told what happens.
        make: Makes what does them, where there is anything to do.

    Raises:
        BenchError: The workers cannot start.
    """
    waiting = []
    for job in jobs:
        if record := job.finished():
            yield _told(watch, Outcome(job, "skipped", record))
        else:
            waiting.append(job)
    if not waiting:
        return
    with contextlib.closing(Locks(out)) as locks, make(count, [job.config.model for job in waiting]) as executor:
        running: dict[Future[int], tuple[Job, float]] = {}
        while waiting or running:
            for job in list(waiting):
                if len(running) == count:
                    break
                if not locks.take(job.key):
                    continue
                waiting.remove(job)
                if record := job.finished():  # another sweep has done it meanwhile
                    locks.free(job.key)
                    yield _told(watch, Outcome(job, "skipped", record))
                    continue
                running[executor.submit(work_of(job).model_dump_json())] = (job, time.monotonic())
                watch.started(job)
            held = bool(waiting) and not running  # nothing could be begun, though there was room
            if held:
                time.sleep(LOOK)
            for future in wait(running, timeout=LOOK, return_when=FIRST_COMPLETED).done:
                job, begin = running.pop(future)
                locks.free(job.key)
                yield _told(watch, _outcome(job, future.result(), time.monotonic() - begin))
            watch.tick(held)


def _told(watch: Watcher, outcome: Outcome) -> Outcome:
    watch.ended(outcome)
    return outcome


def _outcome(job: Job, code: int, seconds: float) -> Outcome:
    record = job.finished() if code == 0 else None
    if record is not None:
        return Outcome(job, "finished", record, seconds)
    return Outcome(job, "failed", None, seconds, reason(job.log, code))


def reason(log: Path, code: int) -> str:
    """Why a job failed, in a sentence: its error, or what killed it."""
    if code == LOST:
        return "its process was killed, or lost with the one that had begun it."
    if code < 0:
        name = signal.Signals(-code).name
        hint = "; out of memory, or killed by hand" if name == "SIGKILL" else ""
        return f"its process was killed ({name}{hint})."
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    said = (
        [line for line in lines if line.startswith("error:")] if code == 2 else [line for line in lines if line.strip()]
    )
    if code == 0:
        return "it ended without a record."
    return said[-1].removeprefix("error: ") if said else f"it ended with exit code {code} and no word."
