"""Where a run lies, who may write to it, and how a stage starts again without losing what was there."""

import errno
import logging
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ringlite_cli.errors import UserError, not_done

PREVIOUS = ".previous"
LOCK = ".lock"
_LOOK = 0.05
"""Seconds after which a lock that is taken is tried again: `holder` takes it for a moment, to see who has it."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_ASKING = 1.0
"""Seconds for which a lock is asked for again whose holder does not say who it is."""

log = logging.getLogger(__name__)


def _run_hint(given: Path, end: str) -> str:
    """Return which folder may be meant by one that is no run: a run is a folder, not a recipe's name."""
    run = Path("runs", given.name)
    return (
        f"did you mean '{run}{end}'?" if run.is_dir() else f"give the run's folder, as runs/{given.name or 'demo'}{end}"
    )


def split_policy(text: str) -> tuple[Path, str | None]:
    """Return the run and the policy of `RUN:POLICY`; no policy for a plain `RUN`, whose name may hold a colon."""
    folder, _, policy = text.rpartition(":")
    if folder and policy and "/" not in policy and not Path(text).exists():
        return Path(folder), policy
    return Path(text), None


def check_is_folder(run: Path, *, policy: str | None = None, other: str = "") -> None:
    """Raise UserError where a run's path is no folder, with the one that may be meant.

    policy: the one of it that was asked for, as `RUN:POLICY`. other: what would do, too.
    """
    if run.is_dir():
        return
    end = f":{policy}" if policy else ""
    if run.exists():
        raise UserError(
            "that is a file, and a run is a folder", where=str(run), hint=f"give {run.resolve().parent}{end}{other}"
        )
    raise UserError("no such run folder", where=str(run), hint=_run_hint(run, end) + other)


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Hold a run folder for this process; a second process is refused with the first one's number and machine.

    A process that ends, however, holds its folder no longer. Where the file system knows no locks, what the file says
    must do: it holds while a process of that number lives here, or was started on another machine.
    Raises UserError when the folder can't be made or written, or is held.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        handle = os.open(run / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"the run folder can't be written ({error.strerror})", where=str(run), hint="give another --runs-dir"
        ) from None
    try:
        _take(handle, run)
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
        with suppress(OSError):
            os.truncate(handle, 0)
    finally:
        os.close(handle)


def refuse_held(run: Path) -> None:
    """Raise UserError where a process holds a run folder; nothing is made or held here."""
    if said := holder(run):
        raise _is_held(run, said)


def _is_held(run: Path, said: str) -> UserError:
    return UserError(
        f"process {said or 'unknown'} is writing to this run", where=str(run), hint="wait for it, or stop it first"
    )


def _take(handle: int, run: Path) -> None:
    said = _said(handle)
    try:
        held = _lock(handle)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        if said and _may_live(said):
            raise UserError(
                f"process {said} is writing to this run, as far as its lock file says",
                where=str(run),
                hint=f"wait for it, or stop it first; if it is gone, remove {run / LOCK}",
            ) from None
    else:
        if not held:
            raise _is_held(run, _said(handle))
        machine = said.rpartition(" on ")[2] if " on " in said else ""
        if machine and machine != socket.gethostname():
            log.warning(
                "process %s held this run and did not end cleanly; if it still runs, stop one of the two: "
                "locks do not reach from one machine to another on every file system",
                said,
            )


def _lock(handle: int) -> bool:
    """Take the lock of an open file; return whether that went well. Raises OSError where there are no locks.

    A process that only asks who holds a run has its lock too, for a moment: it is asked for again.
    """
    from filelock import lock_descriptor  # leaves what the file says alone, where FileLock truncates it

    until, again = time.monotonic() + _ASKING, False
    while not lock_descriptor(handle, blocking=False):
        if (again and _said(handle)) or time.monotonic() > until:
            return False
        again = True
        time.sleep(_LOOK)
    return True


def _said(handle: int) -> str:
    """Return the holder that the lock file names, such as `12 on node-3`; "" where it names none."""
    return os.pread(handle, 256, 0).decode(errors="replace").strip()


def _may_live(said: str) -> bool:
    """Return whether the process that a lock file names may still run: here, or on a machine that cannot be asked."""
    number, _, machine = said.partition(" on ")
    if machine != socket.gethostname() or not number.isdecimal():
        return True
    import psutil  # rarely needed

    return psutil.pid_exists(int(number)) and int(number) != os.getpid()


def holder(run: Path) -> str | None:
    """Return the number and machine of the process that holds a run folder; None where none does."""
    try:
        handle = os.open(run / LOCK, os.O_RDWR)  # some file systems lock only what may be written
    except PermissionError:
        handle = os.open(run / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        return None if _lock(handle) else _said(handle) or "unknown"
    except OSError:
        said = _said(handle)
        return said if said and _may_live(said) else None
    finally:
        os.close(handle)


def make_stage_folder(run: Path, stage: str) -> Path:
    """Make the folder of a stage, which must not be there. Raises as `not_done` says where it can't be made."""
    folder = run / stage
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise not_done("the stage's folder can't be made", error, where=str(folder)) from None
    return folder


def take_over(source: Path, run: Path, stage: str) -> Path:
    """Put a finished stage, whose folder is `source`, into this run, where that stage must not be.

    Files are hard links where the file system has them, else copies. The folder appears whole.
    """
    folder, partial = run / stage, run / f".{stage}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        copy_folder(source, partial, copy=_link_or_copy)
        partial.rename(folder)
    except OSError as error:
        raise not_done(f"the stage can't be taken over from {source}", error, where=str(folder)) from None
    return folder


def copy_folder(
    source: Path,
    target: Path,
    *,
    ignore: Callable[[str, list[str]], Iterable[str]] | None = None,
    copy: Callable[[str, str], object] = shutil.copy2,
) -> None:
    """Copy a folder; those of the copy can be written, though their source may not be."""
    shutil.copytree(source, target, ignore=ignore, copy_function=copy)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(folder.stat().st_mode | stat.S_IRWXU)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
