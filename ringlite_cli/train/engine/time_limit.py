"""A limit on the time that a call may take, for engines that hang in this process."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ringlite_cli.beside import beside
from ringlite_cli.terminal.screen import last_words

GRACE = 60.0
"""Seconds for a hung call to take notice, after which the process ends: it hangs outside of Python."""


class EngineHung(Exception):
    """The call took longer than its limit."""


@contextmanager
def time_limit(seconds: float, wake: Callable[[], None] | None = None) -> Iterator[None]:
    """Raise EngineHung in this thread when the block takes longer; end the process if the block cannot be reached.

    wake: called then, to end what a thread waits for outside of Python.
    """
    thread = threading.get_ident()

    def watch(ended: threading.Event) -> None:
        if ended.wait(seconds):
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(EngineHung))
        if wake is not None:
            wake()
        if not ended.wait(GRACE):
            last_words(f"the engine hangs (no answer in {seconds + GRACE:g} s) and cannot be stopped; giving up")
            os._exit(1)

    with beside(watch, "engine-watchdog"):
        yield
