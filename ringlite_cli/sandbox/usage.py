"""What the processes of a run use, read from /proc on this side: CPU time and memory, and when that is too much."""

import functools
import os
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_UTIME, _CSTIME, _RSS = 11, 14, 21  # fields of /proc/PID/stat behind the name
_FEW_FILES = 100  # open in all processes of a run together
_SOCKET, _PIPE, _QUEUE = 425_984, 65_536, 16_384 * 320  # bytes: twice net.core.wmem_max, 16 pages, max_queued_events
_MOST_QUEUES = 128  # fs.inotify.max_user_instances
PATIENCE, AT_MOST = 3.0, 30.0
"""How often its time limit a run may sleep, and last in all. Between them lies what waits for a core: a machine with
eight times more runs than cores takes eight times as long for each.
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run may use.

    cpu: seconds of all its threads and processes. memory: their bytes, 0 for no such limit. resident: whether pages of
    theirs count too, or only what the kernel may hold for them, as where a control group counts the pages.
    """

    cpu: float
    memory: int = 0
    resident: bool = True

    @property
    def asleep(self) -> float:
        """Seconds that a run may spend without using a core."""
        return PATIENCE * self.cpu + 1.0

    @property
    def wall(self) -> float:
        """Seconds that a run may last."""
        return AT_MOST * self.cpu + 5.0

    @property
    def blind_wall(self) -> float:
        """Seconds that a run may last where nothing tells whether it sleeps or waits for a core."""
        return 10.0 * self.cpu + 5.0


class Watch:
    """The processes below one process, from a run's start on. `look` says which bound the run has passed."""

    def __init__(self, root: int, bounds: Bounds, started: float) -> None:
        self.root, self.bounds = root, bounds
        self.cpu = 0.0
        self._alive, self._lost = 0.0, 0.0
        self._looked, self._asleep = started, 0.0

    @property
    def counts_memory(self) -> bool:
        """Return whether nobody else holds the memory limit."""
        return self.bounds.memory > 0 and self.bounds.resident

    def look(self, now: float) -> str:
        """ "cpu", "wall" or "memory" when the run must end, else "". now: of time.monotonic()."""
        processes = descendants(self.root)
        stats = {pid: found for pid in processes if (found := _stat(pid))}
        self._count(sum(cpu for cpu, _ in stats.values()), now)
        if self.cpu > self.bounds.cpu:
            return "cpu"
        if self._asleep > self.bounds.asleep:
            return "wall"
        return "memory" if self.bounds.memory and self._exceeds_memory(stats) else ""

    def _exceeds_memory(self, stats: Mapping[int, tuple[float, int]]) -> bool:
        buffers = _buffers(stats)
        resident = sum(rss for _, rss in stats.values()) if self.bounds.resident else 0
        if buffers + resident > self.bounds.memory and resident:
            resident = sum(_own_memory(pid) for pid in stats)
        return buffers + resident > self.bounds.memory

    def _count(self, alive: float, now: float) -> None:
        """Time falls out of the sum with a process that nobody waited for: it is kept here."""
        self._lost += max(0.0, self._alive - alive)
        self._alive = alive
        cpu = alive + self._lost
        if cpu <= self.cpu:
            self._asleep += now - self._looked
        self.cpu, self._looked = max(cpu, self.cpu), now


def descendants(pid: int) -> list[int]:
    """The processes that a process started, theirs, and so on; empty where /proc does not tell."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = _children(waiting.pop())
        found += below
        waiting += below
    return found


@functools.cache
def tells_children() -> bool:
    """Return whether /proc here tells the children of a process."""
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    below: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                below += map(int, Path(f"/proc/{pid}/task/{task}/children").read_bytes().split())
    return below


def _stat(pid: int) -> tuple[float, int] | None:
    """CPU seconds, of children that were waited for too, and resident bytes."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return sum(map(int, fields[_UTIME : _CSTIME + 1])) * _TICK, int(fields[_RSS]) * _PAGE


def _buffers(pids: Collection[int]) -> int:
    """Bytes that the kernel may hold for the open sockets, pipes and event queues of processes: at most, not in fact.

    0 for the few that a program may need.
    """
    names = [f"/proc/{pid}/fd/{name}" for pid in pids for name in _listed(f"/proc/{pid}/fd")]
    if len(names) < _FEW_FILES:
        return 0
    queues, kinds = 0, dict[str, str]()
    for name in names:
        with suppress(OSError):
            kind = os.readlink(name)
            queues += kind == "anon_inode:inotify"  # these have no number: how many share one is not told
            kinds[kind] = kind.partition(":")[0]
    held = Counter(kinds.values())
    return held["socket"] * _SOCKET + held["pipe"] * _PIPE + min(queues, _MOST_QUEUES) * _QUEUE


def _own_memory(pid: int) -> int:
    """Return the memory of a process in bytes, with its share of the pages that several use."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) << 10 for line in told.splitlines() if line.startswith("Pss:"))
    except (OSError, StopIteration):
        pass
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * _PAGE
