"""A limit on the time that a call may take, for engines that hang in this process."""

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GRACE = 60.0
"""Seconds for a hung call to take notice, after which the process ends: it hangs outside of Python."""


class EngineHung(Exception):
    """The call took longer than its limit."""


@contextmanager
def time_limit(seconds: float, wake: Callable[[], None] | None = None) -> Iterator[None]:
    """Raises EngineHung in this thread when the block takes longer; a block that cannot be reached ends the process.

    wake: called then, to end what a thread waits for outside of Python.
    """
    thread, ended = threading.get_ident(), threading.Event()

    def watch() -> None:
        if ended.wait(seconds):
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(EngineHung))
        if wake is not None:
            wake()
        if not ended.wait(GRACE):
            sys.stderr.write(
                f"the engine hangs (no answer in {seconds + GRACE:g} s) and cannot be stopped; giving up\n"
            )
            sys.stderr.flush()
            os._exit(1)

    watcher = threading.Thread(target=watch, name="engine-watchdog", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
