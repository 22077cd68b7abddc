"""What a sweep asks of whatever does its jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeAlias

#: The code of a job whose process is gone without a trace of how; no signal and no exit code has this number.
LOST = -1000


class Executor(Protocol):
    """Does jobs, each in a process of its own; leaving it stops those that are running."""

    def submit(self, work: str) -> Future[int]:
        """Begin a job, at once.

        Args:
            work: A :class:`bench.sweep.job.Work` as JSON.

        Returns:
            Its exit code, once it has ended: 0; 1 for a bug; 2 for bad input; the negative signal that killed it;
            :data:`LOST`. How one job ends changes no other.
        """
        ...

    def __enter__(self) -> Executor:
        """Get ready.

        Raises:
            BenchError: It cannot start.
        """
        ...

    def __exit__(self, *_: object) -> None:
        """Interrupt what is running, and leave nothing behind."""
        ...


#: Makes an executor for so many jobs at once, of models that are named so.
MakeExecutor: TypeAlias = Callable[[int, Sequence[str]], Executor]
