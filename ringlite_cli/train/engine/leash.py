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

from ringlite_cli.sessions import end_session

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


if __name__ == "__main__":
    sys.exit(main())
