"""pulse.json: what the process at work in a stage is doing, rewritten as it goes, for `ringlite status`."""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.runs.manifest import now

FILE = "pulse.json"
EVERY = 1.0  # seconds between two writes
_WINDOW = 20  # updates that the rate is taken over


class Pulse:
    """Writes done, total, rate and the last warning of the work under way; a full disk is not its business to report.

    Rates and seconds are by a clock that never jumps; the time of day stands beside them for the reader alone.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = folder / FILE, clock
        with suppress(OSError):  # the last process's; its time would be taken for this one's
            self._path.unlink()
        self._row: dict[str, Any] = {"pid": os.getpid(), "started": now(), "done": None, "total": None, "note": ""}
        self._recent: deque[tuple[float, float]] = deque(maxlen=_WINDOW)
        self._written = -EVERY
        self._began = clock()

    def update(self, title: str, done: float, total: float, note: str, left: Mapping[str, Any] | None = None) -> None:
        """Note progress. left: what is left of the whole run, as far as it is known."""
        if self._recent and (done < self._recent[-1][1] or title != self._row.get("title")):
            self._recent.clear()  # another policy or step of the same stage began
        self._recent.append((self._clock(), done))
        self._row |= {"title": title, "done": done, "total": total, "note": note, "rate": self.rate, "left": left}
        self._write(force=done >= total)

    def warn(self, text: str) -> None:
        self._row["warning"] = text
        self._write(force=True)

    @property
    def rate(self) -> float | None:
        """Units a second over the last updates; None before the second one."""
        (begun, first), (ended, last) = self._recent[0], self._recent[-1]
        return (last - first) / (ended - begun) if ended > begun else None

    def _write(self, *, force: bool = False) -> None:
        now_at = self._clock()
        if not force and now_at - self._written < EVERY:
            return
        self._written = now_at
        seconds = round(now_at - self._began, 2)
        try:
            write_json(self._path, self._row | {"updated": now(), "seconds": seconds, "memory_mb": _memory_mb()})
        except OSError:
            return


def seconds_told(folder: Path) -> float:
    """Return the seconds from the start of a stage's last process to its last sign; 0 where it gave none."""
    try:
        row = read_json(folder / FILE)
        if isinstance(told := row.get("seconds"), int | float):
            return float(told)
        begun, last = (datetime.fromisoformat(row[name]) for name in ("started", "updated"))
        return max(0.0, (last - begun).total_seconds())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return 0.0


def _memory_mb() -> int | None:
    """Return what this process holds, in MiB (Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20
