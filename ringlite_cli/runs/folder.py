"""Where a run lies, who may write to it, and how a stage starts again without losing what was there."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringlite_cli.errors import UserError, WorkFailed

PREVIOUS = ".previous"


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Holds a run folder for this process; a second process is refused with the first one's id.

    Raises UserError when the folder can't be made or written, or is held.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        handle = os.open(run / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"the run folder can't be written ({error.strerror})", where=str(run), hint="give another --runs-dir"
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 64, 0).decode(errors="replace").strip() or "unknown"
            raise UserError(
                f"process {holder} is writing to this run", where=str(run), hint="wait for it, or stop it first"
            ) from None
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def holder(run: Path) -> str | None:
    """The id of the process that holds a run folder; None where none does."""
    try:
        handle = os.open(run / ".lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(handle, 64, 0).decode(errors="replace").strip() or "unknown"
    finally:
        os.close(handle)
    return None


def start_afresh(run: Path, stage: str) -> Path:
    """An empty folder for a stage; what was there moves to `.previous/<stage>`, in place of what lay there before."""
    folder, kept = run / stage, run / PREVIOUS / stage
    try:
        if folder.exists():
            shutil.rmtree(kept, ignore_errors=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(kept)
        folder.mkdir(parents=True)
    except OSError as error:
        raise WorkFailed(f"the stage's folder can't be made ({error.strerror})", where=str(folder)) from None
    return folder


def take_over(donor: Path, run: Path, stage: str) -> Path:
    """Puts a finished stage of another run into this one; what was there moves to `.previous/<stage>`.

    Files are hard links where the file system has them, else copies. The folder appears whole.
    """
    folder, partial = run / stage, run / f".{stage}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(donor / stage, partial, copy_function=_link_or_copy)
        start_afresh(run, stage).rmdir()
        partial.rename(folder)
    except OSError as error:
        raise WorkFailed(f"the stage can't be taken over from {donor} ({error.strerror})", where=str(folder)) from None
    return folder


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
