"""Where a run lies, who may write to it, and how a stage starts again without losing what was there."""

import errno
import fcntl
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ringlite_cli.errors import UserError, WorkFailed

PREVIOUS = ".previous"
LOCK = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)

log = logging.getLogger(__name__)


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Holds a run folder for this process; a second process is refused with the first one's number and machine.

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


def _take(handle: int, run: Path) -> None:
    said = _said(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"process {said or 'unknown'} is writing to this run", where=str(run), hint="wait for it, or stop it first"
        ) from None
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
        machine = said.rpartition(" on ")[2] if " on " in said else ""
        if machine and machine != socket.gethostname():
            log.warning(
                "process %s held this run and did not end cleanly; if it still runs, stop one of the two: "
                "locks do not reach from one machine to another on every file system",
                said,
            )


def _said(handle: int) -> str:
    """Who the lock file says holds it: `12 on node-3`, or nothing."""
    return os.pread(handle, 256, 0).decode(errors="replace").strip()


def _may_live(said: str) -> bool:
    """Whether the process that a lock file names lives here, or can't be asked for it lives elsewhere."""
    number, _, machine = said.partition(" on ")
    if machine != socket.gethostname() or not number.isdecimal():
        return True
    import psutil  # rarely needed

    return psutil.pid_exists(int(number)) and int(number) != os.getpid()


def holder(run: Path) -> str | None:
    """The number and machine of the process that holds a run folder; None where none does."""
    try:
        handle = os.open(run / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _said(handle) or "unknown"
    except OSError:
        said = _said(handle)
        return said if said and _may_live(said) else None
    finally:
        os.close(handle)
    return None


def make_stage_folder(run: Path, stage: str) -> Path:
    """Make the folder of a stage, which must not be there. Raises WorkFailed where it can't be made."""
    folder = run / stage
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise WorkFailed(f"the stage's folder can't be made ({error.strerror})", where=str(folder)) from None
    return folder


def take_over(source: Path, run: Path, stage: str) -> Path:
    """Put a finished stage, whose folder is `source`, into this run, where that stage must not be.

    Files are hard links where the file system has them, else copies. The folder appears whole.
    """
    folder, partial = run / stage, run / f".{stage}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial, copy_function=_link_or_copy)
        partial.rename(folder)
    except OSError as error:
        raise WorkFailed(f"the stage can't be taken over from {source} ({error.strerror})", where=str(folder)) from None
    return folder


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
