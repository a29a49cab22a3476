"""A rank whose launcher is gone stops itself, saved: nobody would collect it, and it would hold its run and its device.

torchrun and `accelerate launch` end their ranks when they are asked to stop, but not when they are killed.
"""

import os
import signal
import threading
import time

POLL = 1.0  # seconds between two looks at who the parent is
GRACE = 900.0
"""Seconds that a rank has to save after it was asked to stop, before it is killed: its peers may be gone too."""


def stop_with_launcher() -> threading.Thread | None:
    """In a rank of a launcher, a thread that asks this process to stop (SIGTERM) when its parent dies; else None."""
    if "RANK" not in os.environ or os.name != "posix":
        return None
    thread = threading.Thread(target=_watch, args=(os.getppid(),), name="launcher-watch", daemon=True)
    thread.start()
    return thread


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(POLL)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)
