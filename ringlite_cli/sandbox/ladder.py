"""The ladder of isolation: every rung is tried on this machine, none is guessed.

- full: bubblewrap with user, PID, network, IPC, UTS and mount name spaces, a PID name space and a fresh /tmp per run
  inside it, a system call filter.
- partial: bubblewrap without one or more of these (nested containers forbid some).
- none: limits and the system call filter only; the host's files can be read.
On every rung, as root, runs get a user id that is nobody's: they can't signal or trace this process, and process
limits bind them. docs/isolation.md says what each rung promises.
"""

import functools
import os
import sys
from pathlib import Path
from typing import Any

from ringlite_cli.sandbox.cgroup import MemoryGroup
from ringlite_cli.sandbox.jail import Jail, JailFailed
from ringlite_cli.sandbox.view import Isolation, find_bwrap, open_to_others, python

_TRIAL_SLOT = 61
ALL_NAMESPACES = ("pid", "net", "ipc", "uts")


def _rungs() -> list[Isolation]:
    """Return what is tried, best first. As root each is tried with a user id of its own for the runs, then without."""
    root = os.geteuid() == 0
    rungs = []
    if find_bwrap():
        kinds: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [("full", ALL_NAMESPACES, ())]
        kinds += [
            ("partial", tuple(n for n in ALL_NAMESPACES if n != lacking), (f"{lacking} name space",))
            for lacking in ("net", "uts", "pid")
        ]
        kinds += [("partial", (), ("pid, net, ipc and uts name spaces",))]
        rungs = [
            Isolation(level, names, user_ids, missing)
            for level, names, missing in kinds
            for user_ids in ((True, False) if root else (False,))
        ]
    missing = ("user name spaces" if find_bwrap() else "bubblewrap",)
    return [*rungs, Isolation("none", (), root and (open_to_others(python()[0]) or _may_read_all()), missing)]


def _may_read_all() -> bool:
    """Return whether this process has the capability to read closed folders (root in some containers has not)."""
    held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(held.split()[1], 16) & 1 << 2)


@functools.cache
def find_isolation() -> tuple[Isolation, str]:
    """The highest rung that works on this machine, and why the ones above it do not (empty when full)."""
    if sys.platform != "linux":
        return Isolation("none", missing=("Linux",)), "the sandbox needs Linux"
    reasons = [] if find_bwrap() else ["bubblewrap is not installed"]
    for rung in _rungs():
        try:
            jail = Jail(rung, files_mb=4)
        except JailFailed as error:
            reasons.append(str(error).strip().splitlines()[-1])
            continue
        facts = jail.facts
        jail.close()
        return _measured(rung, facts), "; ".join(dict.fromkeys(reasons))
    raise AssertionError("the last rung needs nothing but Python")


def _measured(rung: Isolation, facts: dict[str, Any]) -> Isolation:
    """The rung as the jail found itself: full only when the PID name spaces per run, /tmp and the filter are there."""
    lacking = list(rung.missing)
    if rung.level != "none":
        lacking += [] if facts["pids"] else ["a PID name space per run"]
        lacking += [] if facts["tmp"] else ["a private /tmp per run"]
        lacking += [] if facts["devices"] else ["read-only devices"]
    if os.geteuid() == 0 and not rung.user_ids:
        lacking.append("a user id of its own (runs are root, whom process limits do not bind)")
    lacking += [] if facts["filter"] else ["the system call filter"]
    level = "partial" if rung.level == "full" and lacking else rung.level
    return Isolation(level, rung.namespaces, rung.user_ids, tuple(lacking), _has_memory_group())


def _has_memory_group() -> bool:
    group = MemoryGroup.make(_TRIAL_SLOT)
    if group is None:
        return False
    group.remove()
    return True
