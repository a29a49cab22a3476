"""Short work that a stopping signal must not cut in two, such as handing on what took long to make."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGALRM") if hasattr(signal, name))
"""Ctrl-C, schedulers' ways to say that the time is up, and the alarm of --max-hours."""


@contextmanager
def stop_after() -> Iterator[None]:
    """Puts a KeyboardInterrupt that a signal raises off to the end of the block; a second one comes at once."""
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    ours = threading.current_thread() is threading.main_thread()
    numbers = [n for n in STOPPING if ours and signal.getsignal(n) is signal.default_int_handler]
    for number in numbers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt
