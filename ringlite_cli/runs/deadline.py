"""A limit on a command's wall-clock time (`--max-hours`): it stops itself, saved, before a scheduler kills it."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_end: float | None = None
_last_call: float = 0.0


@contextmanager
def stop_within(hours: float | None) -> Iterator[None]:
    """Ask the work inside to stop as SIGTERM does, a little before `hours` are over; None sets no limit.

    Training also looks ahead by `seconds_left`, and stops while a step and a checkpoint still fit.
    """
    global _end, _last_call
    if hours is None:
        yield
        return
    seconds = hours * 3600
    margin = min(60.0, 0.1 * seconds)
    _end = time.monotonic() + seconds
    _last_call = _end - margin
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, max(seconds - margin, 1e-3))
    try:
        yield
    finally:
        _end = None
        if before is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def seconds_left() -> float | None:
    """Seconds until the limit (negative beyond it); None without one."""
    return None if _end is None else _end - time.monotonic()


def is_over() -> bool:
    """Return whether the limit's time to stop has come."""
    return _end is not None and time.monotonic() >= _last_call
