"""A process that has imported everything and forks itself for each command: real processes, without the start-up.

    python warm.py [MODULE ...]

imports these too. Then lines of JSON on stdin, ``[{"argv": [...], "cwd": "...", "env": {}, "kill_after": seconds,
"die_at": number, "clock": seconds}]``; all jobs of a line are run at once. The answer is a line with a list of {"code",
"seconds", "moments", "err"}; the code of a killed process is -9. A process with "die_at" kills itself at that moment:
just before (1, 3, ...) or just after (2, 4, ...) it renames a file. To one with "clock" the time of day is that many
seconds later, or earlier.
"""

import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback


def shift_clock(seconds):
    """Let the process read another time of day; clocks that only count on stay as they are."""
    from datetime import datetime, timedelta

    from bench.results import records

    class Shifted(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(seconds=seconds)

    now, now_ns = time.time, time.time_ns
    records.datetime = Shifted
    time.time, time.time_ns = lambda: now() + seconds, lambda: now_ns() + int(seconds * 1e9)


def child(job, log):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(log.fileno(), 2)
    os.chdir(job["cwd"])
    os.environ.update(job.get("env", {}))
    from bench.cli import main as cli

    if "clock" in job:
        shift_clock(job["clock"])
    rename, moments = os.replace, 0

    def replace(*args):
        nonlocal moments
        for step in (lambda: None, lambda: rename(*args)):
            step()
            moments += 1
            if moments == job.get("die_at"):
                os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace
    code = 1
    try:
        code = cli.main(job["argv"])
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    print(f"\nMOMENTS {moments}", file=sys.stderr, flush=True)
    os._exit(code)


def start(job):
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read when the process has ended
    begin = time.perf_counter()
    pid = os.fork()
    if not pid:
        child(job, log)
    return pid, log, begin


def finish(job, pid, log, begin):
    killed = job.get("kill_after")
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if killed is not None and time.perf_counter() - begin > killed:
            os.kill(pid, signal.SIGKILL)
            killed = None
        time.sleep(0.001)
    seconds = time.perf_counter() - begin
    log.seek(0)
    err, _, moments = log.read().partition("\nMOMENTS ")
    return {"code": os.waitstatus_to_exitcode(status), "seconds": seconds, "moments": int(moments or 0), "err": err}


def main():
    for name in ("scipy.stats", *sys.argv[1:]):
        importlib.import_module(name)
    print("ready", flush=True)
    for line in sys.stdin:
        jobs = json.loads(line)
        started = [start(job) for job in jobs]
        print(json.dumps([finish(job, *one) for job, one in zip(jobs, started)]), flush=True)


if __name__ == "__main__":
    main()
