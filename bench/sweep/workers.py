"""The sender's side of :mod:`bench.sweep.worker`: start it, send jobs, hear how they ended, start anew if it dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from select import select
from typing import IO, Any

import bench
from bench.core.errors import BenchError
from bench.sweep.worker import GRACE

#: What numerical libraries read when they are imported.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


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
    # NVML: a look at the GPU that does not begin to use it; CUDA does not survive a fork.
    return {**dict.fromkeys(_THREADS, share), "PYTORCH_NVML_BASED_CUDA_CHECK": "1", **os.environ, "PYTHONPATH": path}


class Workers:
    """Processes that do jobs.

    Args:
        count: How many jobs are done at once.
        models: What they will be asked to fit.
    """

    def __init__(self, count: int, models: Sequence[str]) -> None:
        self.count, self._models = count, sorted(set(models))
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop
        self._rest, self._ready = b"", False

    def __enter__(self) -> Workers:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._errors.close()

    def _start(self) -> None:
        self._rest, self._ready = b"", False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.sweep.worker", *self._models],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(self.count),
            bufsize=0,
            start_new_session=True,  # Ctrl-C reaches the sender alone
        )

    def send(self, content: dict[str, Any]) -> None:
        """Begin a job; if that fails, :meth:`hear` will say that the process died."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write((json.dumps(content) + "\n").encode())

    def hear(self, seconds: float) -> list[dict[str, Any]] | None:
        """Wait for answers.

        Returns:
            Those that came, or ``None`` if the process died and another was started: all its jobs are lost.

        Raises:
            BenchError: It dies before it is ready.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        if not select([self._process.stdout], [], [], seconds)[0]:
            return []
        block = os.read(self._process.stdout.fileno(), 1 << 20)
        if not block:
            self._died()
            return None
        *lines, self._rest = (self._rest + block).split(b"\n")
        answers = [json.loads(line) for line in lines]
        self._ready = self._ready or any("ready" in answer for answer in answers)
        return [answer for answer in answers if "ready" not in answer]

    def _died(self) -> None:
        ready = self._ready
        self.stop()
        if not ready:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            raise BenchError(f"the workers cannot start: {said[-1] if said else 'they died without a word'}.")
        self._start()

    def stop(self) -> None:
        """Interrupt what is running and end the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(2 * GRACE + 2)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
