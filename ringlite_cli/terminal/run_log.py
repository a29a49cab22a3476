"""run.log: all that a run said and all that libraries and child processes printed meanwhile, bounded in size."""

import os
import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from ringlite_cli import __version__
from ringlite_cli.model_text import bounded

LOG = "run.log"
"""File of a folder: all that was said of the work there, and all that libraries and child processes printed."""
MOST_BYTES = 16 * 2**20
"""Size above which the older half of a log is left out."""
SHOWN_LINES, _LONGEST = 20, 300
_CATCH_UP = 100
"""Looks for more text before a log is cut, at most."""
_ESCAPES = re.compile(rb"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))|\r")


def stamp() -> str:
    """Return the local time as each line of ours begins with it, `2026-01-31 23:59:59`."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def title_of(what: str) -> str:
    """Return what a log begins a session with: what works where, and on what."""
    return f"ringlite {__version__}, process {os.getpid()} on {socket.gethostname()}: {what}"


class RunLog:
    """A log file that is appended to: lines of ours with the time, text of others as it comes.

    Others write to `descriptor`, an append-only descriptor that children inherit a copy of. A log that can't be
    written, for want of disk say, stops nothing.
    """

    def __init__(self, path: Path | None, most_bytes: int = MOST_BYTES) -> None:
        """Open or make the file. path: None for one without a name, which ends with its descriptor. Raises OSError."""
        self.path, self._most = path, most_bytes
        self._lock = threading.Lock()
        if path is None:
            import tempfile

            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
            import fcntl

            fcntl.fcntl(self.descriptor, fcntl.F_SETFL, os.O_APPEND)
        else:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._shown = self._size()
        self._ours: list[tuple[int, int]] = []

    def line(self, text: str, when: str | None = None) -> None:
        """Add a text of ours, each of its lines with the time. when: the time as `stamp` gives it; default: now."""
        when = when or stamp()
        body = "".join(f"{when} {line}\n" for line in text.splitlines() or [""])
        self.add(body.encode("utf-8", "replace"), ours=True)

    def add(self, data: bytes, *, ours: bool = False) -> None:
        """Add bytes. ours: they were shown already, and `news` leaves them out."""
        with self._lock, suppress(OSError):
            os.write(self.descriptor, data)
            if ours:
                end = self._size()
                self._ours.append((end - len(data), end))
        self.trim()

    def text(self) -> bytes:
        """Return all that is in the log."""
        with suppress(OSError):
            return os.pread(self.descriptor, self._size(), 0)
        return b""

    def news(self) -> str:
        """Return what others have written since the last call, without escape sequences."""
        with self._lock:
            start, end, ours = self._shown, self._size(), self._ours
            parts = []
            for first, last in [*ours, (end, end)]:
                if first > start:
                    parts.append(self._read(start, first))
                start = max(start, last)
            self._shown, self._ours = end, []
        return _ESCAPES.sub(b"", b"".join(parts)).decode("utf-8", "replace")

    def last_lines(self, count: int = SHOWN_LINES) -> list[str]:
        """Return the last lines, long ones cut, without escape sequences."""
        with self._lock:
            end = self._size()
            tail = self._read(max(0, end - 2**16), end)
        lines = _ESCAPES.sub(b"", tail).decode("utf-8", "replace").splitlines()
        return [bounded(line, _LONGEST) for line in lines if line.strip()][-count:]

    def trim(self) -> None:
        """Leave the older half out where the log has grown above its bound."""
        with self._lock, suppress(OSError):
            size = self._size()
            if size <= self._most:
                return
            tail = self._read(size - self._most // 2, size)
            for _ in range(_CATCH_UP):  # what others write meanwhile
                if (now := self._size()) == size:
                    break
                tail, size = tail + self._read(size, now), now
            tail = tail[tail.find(b"\n") + 1 :]
            note = f"[{size - len(tail):,} bytes of older lines were left out]\n".encode()
            os.ftruncate(self.descriptor, 0)
            os.write(self.descriptor, note + tail)
            moved = size - len(note) - len(tail)
            self._shown = max(0, self._shown - moved)
            self._ours = [(max(0, a - moved), b - moved) for a, b in self._ours if b > moved]

    def close(self) -> None:
        with suppress(OSError):
            os.close(self.descriptor)

    def _size(self) -> int:
        with suppress(OSError):
            return os.fstat(self.descriptor).st_size
        return 0

    def _read(self, start: int, end: int) -> bytes:
        with suppress(OSError):
            return os.pread(self.descriptor, max(0, end - start), start)
        return b""
