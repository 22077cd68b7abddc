"""Files are looked at by a process of its own, within bounds of time and memory, before this one opens them.

Where bytes are damaged, the HDF5 library and pickle may loop for ever, take all memory or crash, and nothing in the
same process can stop them. One such process serves all files (:mod:`bench.core.door.look`); it is started for the
first one and again after one that it did not survive, and ends with this process.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

from bench.core.door import look
from bench.core.door.limits import SECONDS, open_seconds, size_of
from bench.core.errors import BenchError

#: How many seconds of the clock one of the processor may take.
_PATIENCE = 6
#: Files that were looked at, in a state that tells them apart from what is put in their place.
_looked: set[tuple[str, str, int, int, int, int]] = set()


def check(path: Path, kind: Literal["hdf5", "pickle"]) -> None:
    """Look at a file, unless it was looked at by this process and is the same.

    Raises:
        BenchError: It is not to be opened; with the reason.
    """
    seconds = open_seconds(size_of(path))
    found = os.stat(path)
    marks = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
    state = (kind, os.path.realpath(path), *marks)
    if state in _looked:
        return
    if reason := _watcher.ask(kind, str(path), seconds):
        raise BenchError(f"{path}: {reason}.")
    _looked.add(state)


class _Watcher:
    """The process that looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def ask(self, kind: str, path: str, seconds: float) -> str | None:
        """Have a file looked at; return why it is refused.

        Args:
            kind: How.
            path: The file.
            seconds: Of processor time, after which the process ends; it is ended after :data:`_PATIENCE` times as many
                of the clock, as a disk may be slow and a machine busy.
        """
        with self._lock:
            for _ in range(2):  # it may have ended before it was asked
                process = self._started()
                if process is None:
                    return look.look_here(kind, path)
                line, late = self._answer(process, [kind, os.path.abspath(path), seconds])
                reason: str | None = json.loads(line) if line else None
                if line and reason is None:
                    return None
                self.stop()  # it is gone, or damage may have left something behind in the library
                if line:
                    return reason
                if late or process.returncode == -getattr(signal, "SIGPROF", 0):
                    return (
                        f"opening it takes more than {seconds:g} s: it is damaged, or made to never end. If it is only "
                        f"large or far away, set {SECONDS}={10 * seconds:g}"
                    )
        return "damaged: reading it ends the process that does so"

    def _answer(self, process: subprocess.Popen[str], question: list[object]) -> tuple[str, bool]:
        """What the process says, empty where it ends; and whether it was ended, as the clock ran out."""
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        seconds = question[-1]
        assert isinstance(seconds, float)
        timer = threading.Timer(_PATIENCE * seconds, end)
        timer.daemon = True
        timer.start()
        try:
            line = _asked(process, json.dumps(question))
            return line, late.is_set()
        finally:
            timer.cancel()

    def _started(self) -> subprocess.Popen[str] | None:
        """The process, ready; ``None`` where none can be started."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                # Neither the site's start-up nor the working folder: it takes what this process imports from.
                [sys.executable, "-I", "-S", str(Path(look.__file__).resolve()), json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                text=True,
                encoding="utf-8",
            )
            if _asked(self._process) == "ready\n":
                return self._process
        self.stop()
        return None

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def forget(self) -> None:
        """Leave the process to whom it belongs: this one is a copy of that, made by a fork."""
        self._process, self._lock = None, threading.Lock()


def _asked(process: subprocess.Popen[str], question: str = "") -> str:
    """The next line that a process writes; empty = it is gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if question:
            process.stdin.write(f"{question}\n")
            process.stdin.flush()
        return process.stdout.readline()
    except OSError:
        return ""


_watcher = _Watcher()
atexit.register(_watcher.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watcher.forget)
