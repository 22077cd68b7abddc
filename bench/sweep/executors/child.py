"""What happens in the process of one job. All that it prints goes to its log."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from multiprocessing.process import BaseProcess


def ready() -> int:
    """Answer with the process id: the worker could start."""
    return os.getpid()


def do(work: str) -> int:
    """Do one job, in a process that has begun (:func:`begin`).

    Args:
        work: A :class:`bench.sweep.job.Work` as JSON.

    Returns:
        0; 1 for a bug, 2 for bad input, 130 where it was interrupted: the log says more.
    """
    from bench.core.errors import BenchError
    from bench.sweep.job import Work

    content = Work.model_validate_json(work)
    content.log.parent.mkdir(parents=True, exist_ok=True)
    to = os.open(content.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (to, 1), (to, 2)):
        os.dup2(descriptor, target)
    print(f"$ {content.command}\nprocess {os.getpid()}", flush=True)
    code = 0
    try:
        content.do()
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
    return code


def begin(environment: Mapping[str, str]) -> None:
    """Listen to the sender alone, and end with it, also where it dies before it has sent anything.

    Args:
        environment: Variables of the process that sends jobs.
    """
    with contextlib.suppress(OSError):
        os.setsid()  # Ctrl-C of a terminal reaches the sender, who decides what it means
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(128 + signal.SIGHUP)
