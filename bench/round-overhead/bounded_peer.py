"""Runs somebody else's many processes so that none of them, and none of their files, outlives the measurement.

Flower and NVFLARE start processes that start processes, some in sessions of their own, so neither a process group nor a parent
reaches all of them. What all inherit is the environment: each run puts a random mark in it, and at the end (also after an error,
a signal or too long a time) whatever carries the mark is killed. Nothing they hold is worth a graceful stop: it is all in one
temporary folder, which is removed as well.
"""

import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import psutil

MARK_NAME = "LANTERN_PEER_MARK"
LOG_LINES_SHOWN = 30
END_WAIT_SECONDS = 10  # for the kernel to take apart a killed process


class OutOfTime(Exception):
    """The peer did not come to its end within the seconds it was given."""


@contextlib.contextmanager
def bounded_run(seconds_max):
    """Yields (folder, environment). Start every process with this environment, log into `<folder>/*.log`.

    Raises OutOfTime inside the block after `seconds_max`. After any error the ends of the logs are shown on standard error.
    """
    mark = secrets.token_hex(16)
    folder = Path(tempfile.mkdtemp(prefix="lantern-peer-"))
    environment = {
        **os.environ,
        MARK_NAME: mark,
        # Their settings, caches and scratch files go where they are removed again.
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_PROXY": "*",
        "no_proxy": "*",
    }
    previous = {each: signal.signal(each, _end) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, _out_of_time)
    signal.alarm(seconds_max)
    try:
        yield folder, environment
    except BaseException:
        _show_logs(folder)
        raise
    finally:
        signal.alarm(0)
        for each in previous:
            signal.signal(each, signal.SIG_IGN)  # a second signal must not end the cleaning up
        _kill_marked(mark)
        shutil.rmtree(folder, ignore_errors=True)
        for each, handler in previous.items():
            signal.signal(each, handler)


def _end(number, _frame):
    sys.exit(128 + number)


def _out_of_time(_number, _frame):
    raise OutOfTime("the peer took longer than it may")


def _marked(mark):
    for process in psutil.process_iter():
        # Ended meanwhile, or another user's: not ours in either case.
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK_NAME) == mark:
                yield process


def _kill_marked(mark):
    # Again until none is found: a process may start another between our look and our kill.
    while found := list(_marked(mark)):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _, alive = psutil.wait_procs(found, timeout=END_WAIT_SECONDS)
        if alive:
            print(f"cannot end {[process.pid for process in alive]}", file=sys.stderr)
            return


def _show_logs(folder):
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        print(f"--- {log.name}", *lines, sep="\n", file=sys.stderr)
