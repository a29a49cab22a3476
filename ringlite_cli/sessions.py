"""The processes of a session, ended together: workers may have left their parent, but not the session.

Python removes the shared memory that killed processes held by a process of its own, the resource tracker, once they are
gone. It is in their session, so it is killed last, and only where it does not end by itself: else names of hundreds of
MiB stay in /dev/shm.
"""

import os
import time
from contextlib import suppress

import psutil

_POLL = 0.1
_TRACKER = "resource_tracker"


def end_session(leader: int, grace: float) -> None:
    """Ask every process of a session to end, and kill those that have not after `grace` seconds."""
    for process in _members(leader):
        with suppress(psutil.Error):
            process.terminate()
    _wait(leader, grace)
    kill_session(leader)


def kill_session(leader: int, grace: float = 15.0) -> None:
    """Kill every process of a session. grace: seconds for what removes their shared memory."""
    for process in _members(leader):
        with suppress(psutil.Error):
            words = process.cmdline()  # none while a program is being started
            if words and not any(_TRACKER in word for word in words):
                process.kill()
    _wait(leader, grace)
    for process in _members(leader):
        with suppress(psutil.Error):
            process.kill()
    _wait(leader, grace)


def _wait(leader: int, seconds: float) -> None:
    until = time.monotonic() + seconds
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
