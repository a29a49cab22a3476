"""Readers against very long texts: one that is linear is done in a second, one that is quadratic runs for minutes."""

import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LONG = 4_000_000
"""Characters. Where each of 500,000 marks looks through the rest of the text, even the fastest search takes 20 s."""
LIMIT = 15.0
"""Seconds of CPU, many times what a linear reader takes for LONG characters on a busy machine."""


class TooLong(BaseException):
    """What the signal raises; no `except Exception` of a reader takes it for a fault of the text."""


@contextmanager
def cpu_limit(seconds: float = LIMIT) -> Iterator[None]:
    """Raise TooLong when the block has used so many seconds of this process's CPU time; waiting costs nothing.

    Objects of other tests are kept out of garbage collection from here on: it would cost seconds that no reader spent.
    (Once taken back in, they would cost a second in each stage that a later test of this process walks.)
    """

    def stop(*_: Any) -> None:
        raise TooLong(f"more than {seconds} s of CPU")

    before = signal.signal(signal.SIGVTALRM, stop)
    gc.freeze()
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def is_quick(read: Callable[[str], object], text: str, seconds: float = LIMIT) -> bool:
    """Return whether `read` gets to the end of the text within the limit."""
    try:
        with cpu_limit(seconds):
            read(text)
    except TooLong:
        return False
    return True


def repeated(unit: str, size: int = LONG) -> str:
    return unit * (size // len(unit))
