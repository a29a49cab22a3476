"""One memory limit over all processes of a run, by a control group, where this user may make one.

Without it each process has its own limit, and a run of 16 processes may take 16 times that.
"""

import contextlib
import os
import subprocess
import time
from pathlib import Path

_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
_PREFIX = "ringlite-"
_REMOVE_SECONDS = 2.0


class MemoryGroup:
    """A control group of its own, below this process's. `make` gives None where that is not allowed."""

    def __init__(self, folder: Path, second: bool) -> None:
        self.folder = folder
        self._limit = folder / ("memory.max" if second else "memory.limit_in_bytes")
        self._events = folder / ("memory.events" if second else "memory.oom_control")
        self._counter = -1  # the open file of events: it is read twice a run
        self._seen = 0

    @classmethod
    def make(cls, slot: int) -> "MemoryGroup | None":
        """A new group for a jail; leftovers of processes that are gone are removed on the way."""
        found = _own_group()
        if found is None:
            return None
        parent, second = found
        folder = parent / f"{_PREFIX}{os.getpid()}-{slot}"
        try:
            for old in parent.glob(f"{_PREFIX}*"):
                if not Path(f"/proc/{old.name.split('-')[1]}").exists():
                    old.rmdir()
            folder.mkdir(exist_ok=True)
            group = cls(folder, second)
            group._open()
            return group
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            return None

    def _close(self) -> None:
        if self._counter >= 0:
            os.close(self._counter)
            self._counter = -1

    def _open(self) -> None:
        """Does what every run will, so that a group that cannot limit or be joined shows now. Raises OSError."""
        self.limit(1 << 40)
        self._counter = os.open(self._events, os.O_RDONLY | os.O_CLOEXEC)
        self._seen = self._kills()
        if subprocess.run([*self.join(), "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self._close()
            raise PermissionError("no process may move into the group")

    def limit(self, size: int) -> None:
        """Set the limit in bytes. Raises OSError."""
        self._limit.write_text(str(size))

    def was_exceeded(self) -> bool:
        """Return whether the kernel has killed for memory since the last time."""
        kills = self._kills()
        exceeded, self._seen = kills > self._seen, kills
        return exceeded

    def join(self) -> list[str]:
        """The start of a command line that runs the rest of it inside the group."""
        return ["/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.folder)]

    def remove(self) -> None:
        """Remove the group. Its processes were killed; the kernel may take a moment to let go of them."""
        self._close()
        deadline = time.monotonic() + _REMOVE_SECONDS
        while self.folder.exists():
            try:
                self.folder.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.005)

    def _kills(self) -> int:
        for line in os.pread(self._counter, 4096, 0).splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
        return 0


def _own_group() -> tuple[Path, bool] | None:
    """This process's memory control group and whether it is of version 2; None where there is no memory controller."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _V1 / path.lstrip("/"), False
        if not controllers and (group := _second_version(_V2 / path.lstrip("/"))) is not None:
            return group, True
    return None


def _second_version(own: Path) -> Path | None:
    """The nearest group, from a process's own up, whose children get the memory controller; None where there is none.

    In version 2 a group that holds processes cannot hand controllers down (its own parent can, where systemd
    delegated it to this user), and a process may move to any group that it may write to below a common one.
    """
    for group in (own, *own.parents):
        if not group.is_relative_to(_V2):
            return None
        with contextlib.suppress(OSError):
            if "memory" in (group / "cgroup.subtree_control").read_text().split() and os.access(group, os.W_OK):
                return group
    return None
