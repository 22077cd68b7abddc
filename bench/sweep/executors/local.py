"""Jobs as processes of this machine, begun by a server that has imported everything once.

The standard library's process pool with the start method ``forkserver``: no process is forked from one that has begun
to use a GPU. Each job has a pool of one process of its own, because a pool breaks as a whole where one of its processes
is killed: so what one job leaves in memory changes no other, its peak memory is its own, and when the system kills it,
nothing else dies.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import bench
from bench.core.errors import BenchError
from bench.sweep.executors import child
from bench.sweep.executors.base import LOST

#: What numerical libraries read when they are imported.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
#: Seconds that interrupted jobs have to put away what they were writing.
GRACE = 3.0


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """One job at a time for every two cores, and two on two: what is learned here uses one thread."""
    return min(cores(), max(2, cores() // 2))


def environment(workers: int) -> dict[str, str]:
    """The environment of jobs of which so many are done at once; what the user has set stays."""
    share = str(max(1, cores() // workers))
    root = str(Path(bench.__file__).resolve().parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    # NVML: a look at the GPU that does not begin to use it; CUDA does not survive the fork of the server.
    return {**dict.fromkeys(_THREADS, share), "PYTORCH_NVML_BASED_CUDA_CHECK": "1", **os.environ, "PYTHONPATH": path}


class LocalExecutor:
    """Processes of this machine.

    Args:
        count: How many jobs are done at once: they share the cores.
        models: What they will be asked to fit, imported once.
    """

    def __init__(self, count: int, models: Sequence[str]) -> None:
        self._environment = environment(count)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["scipy.stats", "bench.runner.pipeline", *_modules(models)])
        self._running: dict[Future[int], BaseProcess] = {}

    def __enter__(self) -> LocalExecutor:
        try:
            future = self._begin(child.ready)
            code = future.result()
        except (OSError, EOFError) as error:
            raise BenchError(f"the workers cannot start: {error}.") from error
        if code < 0:
            raise BenchError("the workers cannot start: their process died; what it said is above.")
        return self

    def __exit__(self, *_: object) -> None:
        """Interrupt jobs, so that they remove their temporary files; kill those that do not listen."""
        for sign in (signal.SIGINT, signal.SIGKILL):
            left = [process for process in self._running.values() if process.is_alive()]
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid or 0, sign)
            end = time.monotonic() + GRACE
            while time.monotonic() < end and any(not future.done() for future in self._running):
                time.sleep(0.02)

    def submit(self, work: str) -> Future[int]:
        """Begin a job: see :class:`bench.sweep.executors.base.Executor`."""
        return self._begin(child.do, work)

    def _begin(self, function: Callable[..., int], *arguments: Any) -> Future[int]:
        pool = ProcessPoolExecutor(1, self._context, child.begin, (self._environment,))
        before = set(multiprocessing.active_children())
        with _variables(self._environment):  # the server reads them where it must be started
            inner = pool.submit(function, *arguments)
        (process,) = set(multiprocessing.active_children()) - before
        outer: Future[int] = Future()
        self._running = {future: one for future, one in self._running.items() if not future.done()}
        self._running[outer] = process

        def ended(done: Future[int]) -> None:
            outer.set_result(_killed(process) if done.exception() else done.result())

        inner.add_done_callback(ended)
        pool.shutdown(wait=False)
        return outer


def _killed(process: BaseProcess) -> int:
    """The negative signal that ended a process; where it is not known, the process is killed now."""
    try:
        code = process.exitcode
    except (OSError, EOFError, ValueError):  # another thread has asked at the same moment
        code = None
    if code is None or code >= 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid or 0, signal.SIGKILL)
        return LOST
    return code


def _modules(models: Sequence[str]) -> list[str]:
    """Files of registered models; the class of an outsider is imported by the job that needs it."""
    from bench.models import registry

    return sorted({registry.entries()[name].module for name in models if name in registry.entries()})


@contextlib.contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a moment."""
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in set(wanted) - set(before):
            del os.environ[name]
        os.environ.update(before)
