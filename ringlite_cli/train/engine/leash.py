"""Runs a command that must not outlive the process that asked for it.

usage: python -m ringlite_cli.train.engine.leash GRACE COMMAND...

The command leads a session of its own, so that a Ctrl-C in the terminal reaches the run alone, which then ends it in
order. When it ends, when this process is told to (SIGTERM), or when the parent is gone, even by SIGKILL, everything
that the command started is ended: with SIGTERM first, with SIGKILL after GRACE seconds.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil

_POLL = 0.25


def main() -> int:
    parent = os.getppid()
    told = False

    def tell(*_: object) -> None:
        nonlocal told
        told = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, tell)
    grace, *words = sys.argv[1:]
    command = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
    while command.poll() is None and not told and os.getppid() == parent:
        time.sleep(_POLL)
    end_session(command.pid, float(grace))
    return command.wait()


def end_session(leader: int, grace: float) -> None:
    """End every process of a session: workers may have left their parent, but not the session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in _members(leader):
            with suppress(psutil.Error):
                process.send_signal(number)
        until = time.monotonic() + grace
        while _members(leader) and time.monotonic() < until:
            time.sleep(_POLL)


def _members(leader: int) -> list[psutil.Process]:
    """Return the living processes of the session; zombies do not count."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


if __name__ == "__main__":
    sys.exit(main())
