"""What a launcher makes of this process: a rank by its environment, which stops itself when its launcher is gone.

torchrun and `accelerate launch` end their ranks when they are asked to stop, but not when they are killed: nobody would
collect an orphan, and it would hold its run and its device.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from ringlite_cli.errors import UserError

POLL = 1.0  # seconds between two looks at who the parent is
GRACE = 900.0
"""Seconds that a rank has to save after it was asked to stop, before it is killed: its peers may be gone too."""

LAST = 20.0
"""Seconds that a rank which says nothing stays, so that the one which speaks for it ends before it."""
LOOKS = 0.1  # seconds between two looks at whether another rank has ended

_OF_A_RANK = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE")
_ENVIRONMENT = "the launcher's environment"
_PREFIXES = (
    *("MASTER_", "TORCHELASTIC_", "ROLE_", "ACCELERATE_", "FSDP_", "SLURM_"),
    *("OMPI_", "PMI_", "PMIX_", "MV2_", "MPI_"),
)


def without_rank(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what makes a process a launcher's rank, for a process that is none."""
    return {
        name: value for name, value in environment.items() if name not in _OF_A_RANK and not name.startswith(_PREFIXES)
    }


def leave_launch() -> None:
    """Make this process no rank any more, and none of those that it starts."""
    for name in set(os.environ).difference(without_rank(os.environ)):
        del os.environ[name]


_PORTS = range(20_000, 30_000)
"""Where ranks that Slurm starts meet, by the number of their job and step."""


_LAST_PORT = 65_535
_OF_SLURM = ("SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_NODEID", "SLURM_PROCID", "SLURM_LOCALID")
_OF_MPI = {
    "RANK": ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"),
    "WORLD_SIZE": ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"),
    "LOCAL_RANK": ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK"),
    "LOCAL_WORLD_SIZE": ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE"),
}
"""Variables of Open MPI, MPICH and Intel MPI, and MVAPICH; accelerate takes a rank from them where RANK is not set."""
_UNSET = "start all ranks by a launcher (torchrun, accelerate launch, srun), or unset RANK, LOCAL_RANK and WORLD_SIZE"


def check_rank(environment: Mapping[str, str] = os.environ) -> None:
    """Raise UserError where the environment makes half a rank of this process: it would wait for others in vain."""
    for name in _OF_A_RANK:
        _number(environment, name, 0)
    rank, ranks = _number(environment, "RANK", 0), _number(environment, "WORLD_SIZE", 1)
    if "RANK" not in environment and "LOCAL_RANK" in environment:
        what = f"LOCAL_RANK is {environment['LOCAL_RANK']}, and RANK is not set"
        raise UserError(what, where=_ENVIRONMENT, hint=_UNSET)
    if "RANK" not in environment and ranks > 1:
        raise UserError(f"WORLD_SIZE is {ranks}, and RANK is not set", where=_ENVIRONMENT, hint=_UNSET)
    if rank >= ranks:
        whole = f"WORLD_SIZE is {ranks}" if "WORLD_SIZE" in environment else "WORLD_SIZE is not set"
        raise UserError(f"RANK is {rank}, and {whole}", where=_ENVIRONMENT, hint=_UNSET)
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not environment.get(name)]
    if ranks > 1 and missing:
        what = f"WORLD_SIZE is {ranks}, and {' and '.join(missing)}, where ranks meet, not set"
        raise UserError(what, where=_ENVIRONMENT, hint=_UNSET)
    port = environment.get("MASTER_PORT", "")
    if ranks > 1 and not (port.isascii() and port.isdigit() and int(port) <= _LAST_PORT):
        what = f"MASTER_PORT is {port!r}, which is no number of a port"
        raise UserError(
            what, where=_ENVIRONMENT, hint=f"set one from 1024 to {_LAST_PORT} that is free on the first node"
        )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    """Return a variable's number. Raises UserError for what is none, or is below 0."""
    value = environment.get(name, str(default))
    if not (value.isascii() and value.isdigit()):
        raise UserError(f"{name} is {value!r}, which is no number of a rank", where=_ENVIRONMENT, hint=_UNSET)
    return int(value)


def take_rank_from_slurm() -> None:
    """In a task of `srun` with several, sets what torchrun sets: number, ranks, and where the first one is met.

    A launcher's own settings stay, and a batch script is no task. Raises UserError for numbers that are none and, with
    the rank's numbers set, where the first node's name is needed and cannot be read.
    """
    slurm = os.environ
    if "RANK" in slurm or "SLURM_PROCID" not in slurm or _number(slurm, "SLURM_STEP_NUM_TASKS", 1) < 2:
        return
    for name in _OF_SLURM:
        _number(slurm, name, 0)
    job, step = _number(slurm, "SLURM_JOB_ID", 0), _number(slurm, "SLURM_STEP_ID", 0)
    found = {
        "RANK": slurm["SLURM_PROCID"],
        "WORLD_SIZE": slurm["SLURM_STEP_NUM_TASKS"],
        "LOCAL_RANK": slurm.get("SLURM_LOCALID", "0"),
        "LOCAL_WORLD_SIZE": _tasks_here(slurm),
        "MASTER_PORT": str(_PORTS[(job * 31 + step) % len(_PORTS)]),
    }
    for name, value in found.items():
        os.environ.setdefault(name, value)
    if not slurm.get("MASTER_ADDR"):
        os.environ["MASTER_ADDR"] = first_host(slurm.get("SLURM_STEP_NODELIST") or slurm.get("SLURM_NODELIST", ""))


def take_rank_from_mpi() -> None:
    """In one of several processes of `mpirun`, set what torchrun sets, but for where ranks meet: MPI does not tell it.

    A launcher's own settings stay. Raises UserError for numbers that are none.
    """
    found = {name: next((each for each in names if each in os.environ), "") for name, names in _OF_MPI.items()}
    if "RANK" in os.environ or not (found["RANK"] and found["WORLD_SIZE"]):
        return
    if _number(os.environ, found["WORLD_SIZE"], 1) < 2:
        return
    for name, theirs in found.items():
        if theirs:
            os.environ.setdefault(name, str(_number(os.environ, theirs, 0)))


def _tasks_here(slurm: Mapping[str, str]) -> str:
    """Return the tasks on this node, from `4(x2),3`: four on each of two nodes, three on the last."""
    node, counts = int(slurm.get("SLURM_NODEID", "0")), []
    for part in slurm.get("SLURM_STEP_TASKS_PER_NODE", "").split(","):
        if found := re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part):
            counts += [found[1]] * int(found[2] or 1)
    return counts[node] if node < len(counts) else slurm.get("SLURM_STEP_NUM_TASKS", "1")


def first_host(nodes: str) -> str:
    """Return the first host of Slurm's list of nodes: `gpu007` of `gpu[007-012,020],cpu1`, `a-1` of `a-1,b-2`.

    Raises UserError for a list without one.
    """
    found = re.match(r"([^,\[]*)(?:\[(\w+)[^\]]*\]([^,\[]*))?", nodes)
    name = "".join(part or "" for part in found.groups()) if found else ""
    if not name:
        raise UserError(
            f"Slurm names no node ({nodes!r})",
            where="SLURM_STEP_NODELIST",
            hint="export MASTER_ADDR and MASTER_PORT of the first node",
        )
    return name


def stop_with_launcher() -> threading.Thread | None:
    """In a rank of a launcher, a thread that asks this process to stop (SIGTERM) when its parent dies; else None."""
    if "RANK" not in os.environ or os.name != "posix":
        return None
    thread = threading.Thread(target=_watch, args=(os.getppid(),), name="launcher-watch", daemon=True)
    thread.start()
    return thread


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(POLL)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def end_after_another(seconds: float | None = None) -> None:
    """Wait until another rank of this machine has ended, or this one is asked to stop; `seconds` (LAST) at most.

    A launcher stops all ranks as soon as one has ended: a rank without a word must not end before the one that speaks.
    """
    until = time.monotonic() + (LAST if seconds is None else seconds)
    at_first = _siblings()
    with suppress(KeyboardInterrupt):
        while time.monotonic() < until and _siblings() >= at_first:
            time.sleep(LOOKS)


def _siblings() -> int:
    """Count the other processes that live under this one's parent: the ranks, and what else the launcher runs."""
    import psutil

    try:
        children = psutil.Process(os.getppid()).children()
        return sum(each.pid != os.getpid() and each.status() != psutil.STATUS_ZOMBIE for each in children)
    except psutil.Error:
        return 0
