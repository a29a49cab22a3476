"""Short work that a stopping signal must not cut in two, such as handing on what took long to make."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGALRM") if hasattr(signal, name))
"""Ctrl-C, schedulers' ways to say that the time is up, and the alarm of --max-hours."""

STOPS: list[int] = []
"""The signals that asked this process to stop at once, as far as `stop_now` heard them."""


def stop_now(number: int, frame: FrameType | None) -> None:
    """Handle a signal by a KeyboardInterrupt, and note it: an import that is cut short may raise something else."""
    STOPS.append(number)
    raise KeyboardInterrupt


@contextmanager
def stop_after() -> Iterator[None]:
    """Put a KeyboardInterrupt that a signal raises off to the end of the block; a second one comes at once."""
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    ours = threading.current_thread() is threading.main_thread()
    known = (signal.default_int_handler, stop_now)
    before = {n: handler for n in STOPPING if ours and (handler := signal.getsignal(n)) in known}
    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def pass_over_a_stop() -> None:
    """Pass over one stopping signal from now on, where this process ends by a failure; a second one comes at once.

    A launcher that saw a rank end asks the others to stop: what is told is why they end, and not that they were asked.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    before = {number: signal.getsignal(number) for number in STOPPING}

    def note(number: int, frame: FrameType | None) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
