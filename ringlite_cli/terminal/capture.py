"""What this process and its children write to file descriptors 1 and 2, sent to a log while a command works.

Python's `sys.stdout` is not enough: CUDA, C++ libraries and child processes write to the descriptors themselves. The
log is a file and no pipe: no writer ever waits for a reader, and what a process wrote before it crashed is there.
"""

import ctypes
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from ringlite_cli.terminal.run_log import RunLog


class Capture:
    """Descriptors 1 and 2, led away. `out` and `err`: streams to where they led before."""

    def __init__(self, log: RunLog) -> None:
        self.log = log
        _flush()
        self._saved = {number: os.dup(number) for number in (1, 2) if _is_open(number)}
        self.out, self.err = (self._stream(s, number) for s, number in ((sys.stdout, 1), (sys.stderr, 2)))
        self._lead_to(log)

    def into(self, log: RunLog) -> None:
        """Lead them to another log."""
        self.log = log
        _flush()
        self._lead_to(log)

    def lead_back(self) -> None:
        """Lead them back; `out` and `err` can still be written to."""
        _flush()
        for number, saved in self._saved.items():
            os.dup2(saved, number)

    def end(self) -> None:
        """Close `out` and `err`, after `lead_back`."""
        for stream in (self.out, self.err):
            with suppress(OSError, ValueError):
                stream.flush()
        for saved in self._saved.values():
            os.close(saved)

    def _lead_to(self, log: RunLog) -> None:
        for number in self._saved:
            os.dup2(log.descriptor, number)

    def _stream(self, stream: TextIO, number: int) -> TextIO:
        """A stream to where `stream` writes now, whatever becomes of the descriptor."""
        try:
            own = stream.fileno() == number and number in self._saved
        except (AttributeError, OSError, ValueError):  # a stream without a descriptor, such as a StringIO
            return stream
        if not own:
            return stream
        raw = io.FileIO(self._saved[number], "w", closefd=False)
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, errors="replace", line_buffering=True)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _flush() -> None:
    """Write out what Python and C hold back."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
