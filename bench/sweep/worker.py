"""The process that does the jobs: it imports everything once and forks itself for each.

    python -m bench.sweep.worker MODEL ...

Lines of JSON on stdin, ``{"id", "verb", "request", "log", "command"}``; the answer to each is ``{"id", "pid"}`` when
it has begun and ``{"id", "code"}`` when it has ended; the code of a killed job is the negative signal. When stdin
ends, the jobs are stopped.

A fork for each job: what one leaves in memory cannot change another's numbers, its peak memory is its own, and when
the system kills it, nothing else dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

#: Seconds between looks at whether a job has ended.
POLL = 0.05
#: Seconds that interrupted jobs have to put away what they were writing.
GRACE = 3.0


def warm_up(models: list[str]) -> None:
    """Import what the jobs will need."""
    import scipy.stats  # noqa: F401

    from bench.models import registry

    for name in models:
        registry.load(name)


def child(content: dict[str, Any], parent: int) -> NoReturn:
    """Do one job in a process of its own; all that it prints goes to its log."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = Path(content["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (to, 1), (to, 2)):
        os.dup2(descriptor, target)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    print(f"$ {content['command']}\nprocess {os.getpid()}", flush=True)
    code = 0
    try:
        from bench.core.errors import BenchError
        from bench.sweep.job import execute

        try:
            execute(content)
        except BenchError as error:
            print("error:", " ".join(str(error).split()))
            code = 2
    except (KeyboardInterrupt, SystemExit):  # Lightning's trainer turns the first into the second
        code = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        code = 1
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(128 + signal.SIGHUP)


def serve(replies: int) -> None:
    """Do the jobs that come in on stdin, all at once: how many there may be is the sender's business."""

    def answer(**content: Any) -> None:
        os.write(replies, (json.dumps(content) + "\n").encode())

    jobs: dict[int, int] = {}
    rest, open_ = b"", True
    answer(ready=os.getpid())
    while open_:
        if select.select([0], [], [], POLL)[0]:
            block = os.read(0, 1 << 20)
            open_ = bool(block)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                content, me = json.loads(line), os.getpid()
                pid = os.fork()
                if not pid:
                    child(content, me)
                jobs[pid] = content["id"]
                answer(id=content["id"], pid=pid)
        for pid, code in _ended():
            answer(id=jobs.pop(pid), code=code)
    _stop(list(jobs))


def _ended() -> list[tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found.append((ended[0], os.waitstatus_to_exitcode(ended[1])))
    return found


def _stop(pids: list[int]) -> None:
    """Interrupt jobs, so that they remove their temporary files; kill those that do not listen."""
    left = set(pids)
    for sign, patience in ((signal.SIGINT, GRACE), (signal.SIGKILL, GRACE)):
        for pid in left:
            os.kill(pid, sign)
        end = time.monotonic() + patience
        while left and time.monotonic() < end:
            left -= {pid for pid, _ in _ended()}
            time.sleep(POLL)


def main() -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sender decides what an interrupt means
    replies = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    warm_up(sys.argv[1:])
    serve(replies)


if __name__ == "__main__":
    main()
