"""What ended a stage, as a message that a user can act on: full disks, lost ranks, memory that ran out."""

import errno
import os
import re
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path

from ringlite_cli.errors import RankLost, RingliteError, UserError, WorkFailed, first_line
from ringlite_cli.overlooked import DISK_ERRORS
from ringlite_cli.runs.ranks import why_lost

_MOUNT = ("ETIMEDOUT", "ENOTCONN", "ESHUTDOWN", "EHOSTDOWN", "EHOSTUNREACH", "EBUSY", "ENAMETOOLONG", "ELOOP")
"""Names of errors that are of the file system where they name a file; of a connection they say something else."""
_OF_MOUNT = frozenset(getattr(errno, name) for name in _MOUNT if hasattr(errno, name))
_IN_THE_WAY = {
    errno.EISDIR: "a folder is there, where a file belongs",
    errno.ENOTDIR: "a part of this path is a file, where a folder belongs",
}
_SAID_BY_DISK = re.compile(
    "|".join(re.escape(os.strerror(number)) for number in sorted(DISK_ERRORS))
    + rf"|os error (?:{'|'.join(map(str, sorted(DISK_ERRORS)))})\b"
)
_LIBRARIES = re.compile(r"[/\\\\](?:transformers|peft)[/\\\\]")
_FULL = re.compile(r"os error 28|No space left|Disk quota|failed writing file|unexpected pos", re.IGNORECASE)
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|Cannot allocate memory|std::bad_alloc", re.IGNORECASE)
_ASKED_GPU = re.compile(r"Tried to allocate ([\d.]+ [KMG]iB)")
_ASKED_HOST = re.compile(r"tried to allocate (\d+) bytes", re.IGNORECASE)
_TAKEN_PORT = re.compile(r"failed to listen on any local network address.*port: (\d+).*EADDRINUSE", re.DOTALL)
_LOST_RANK = re.compile(
    r"Connection closed by peer|Connection reset by peer|Socket Timeout|Broken pipe|NCCL|watchdog|"
    r"Timed out waiting|Timed out after|remote process exited",
    re.IGNORECASE,
)
GOES = "goes on"
GOES_ON = f"the same launch {GOES} from the last checkpoint"
SMALLER = (
    "lower row_tokens, trl.max_completion_length (rl, with --go-on) or batch_tokens (select, eval), or set "
    "trl.gradient_checkpointing: true (sft, rl)"
)


def as_failure(error: BaseException, folder: Path) -> RingliteError | None:
    """The failure to report in place of an error that is no bug of ours; None for a bug."""
    if isinstance(error, RingliteError):
        return error
    text = str(error)
    if _FULL.search(text) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return _disk_full(folder)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        where = str(error.filename or folder)
        if error.errno == errno.EROFS:
            return WorkFailed(f"can't be written ({error.strerror})", where=where, hint="give another --runs-dir")
        hint = "see to its permissions; what is to be written can go to another --runs-dir"
        return UserError(f"can't be opened ({error.strerror})", where=where, hint=hint)
    if isinstance(error, OSError) and error.errno in _IN_THE_WAY and error.filename:
        where = str(error.filename2 or error.filename)
        return UserError(_IN_THE_WAY[error.errno], where=where, hint="move away what is there, or give another path")
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError | OSError) and _NO_MEMORY.search(text)):
        return WorkFailed(_memory(text), where=str(folder), hint=f"{SMALLER}; the same command {GOES}")
    if isinstance(error, RuntimeError) and (found := _TAKEN_PORT.search(text)):
        what = f"port {found[1]}, where the ranks would meet, is in use on this machine"
        return WorkFailed(what, where="MASTER_PORT", hint="give the launcher another one (MASTER_PORT, --master_port)")
    if isinstance(error, RuntimeError) and _LOST_RANK.search(text):
        return RankLost(
            f"another rank of this run is gone ({text.splitlines()[0][:200]})",
            where=str(folder),
            hint=f"the first rank to fail says why in its own output; {GOES_ON}",
        )
    return _disk_failed(error, folder) or _not_loaded(error)


def as_words(error: BaseException) -> str:
    """Return the kind of an error that is a bug, in ringlite or in the user's code, what it says, and where it was."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {first_line(error)}{where}"


def as_told(error: BaseException, folder: Path) -> RingliteError | None:
    """The failure to report on the first rank: as `as_failure`, with what another rank wrote down where one is gone."""
    failure = as_failure(error, folder)
    if not isinstance(failure, RankLost) or not (why := why_lost(folder.parent)):
        return failure
    return RankLost(why, where="" if str(folder) in why else str(folder), hint="" if GOES in why else GOES_ON)


def _disk_failed(error: BaseException, folder: Path) -> WorkFailed | None:
    """The failure of a file system that an error tells of, by itself or by what it came from.

    Libraries that read weights and tables keep the words of such an error, and not its number.
    """
    for cause in _causes(error):
        file = getattr(cause, "filename", None)
        number = cause.errno if isinstance(cause, OSError) else None
        found = _SAID_BY_DISK.search(str(cause))
        if number in DISK_ERRORS or (file and number in _OF_MOUNT) or found:
            said = found[0] if found else os.strerror(number or 0)
            return WorkFailed(
                f"the file system fails ({said})",
                where=str(file or folder),
                hint="nothing was removed; see to the disk or the mount, then give the same command again",
            )
    return None


def _not_loaded(error: BaseException) -> WorkFailed | None:
    """The failure to load a model or a tokenizer, told by the call of transformers or peft that it passed through.

    A folder that could not be looked at for a moment is taken there for a name on the hub, and what is raised then
    says anything but that.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "from_pretrained" and _LIBRARIES.search(frame.f_code.co_filename):
            named = (frame.f_locals.get(name) for name in ("pretrained_model_name_or_path", "model_id"))
            where = next((str(name) for name in named if name), "")
            hint = "where its files are there and whole, see to the disk or the mount; then the same command goes on"
            return WorkFailed(f"it can't be loaded ({first_line(error)})", where=where, hint=hint)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _disk_full(folder: Path) -> WorkFailed:
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free / 2**20
    return WorkFailed(
        f"the disk is full ({free:,.0f} MiB free)", where=str(folder), hint="free some space; the same command goes on"
    )


def _memory(text: str) -> str:
    """Return how much memory was asked for and how much was in use, as far as the error and torch tell."""
    on_gpu = "CUDA" in text or "GPU" in text
    if found := _ASKED_GPU.search(text):
        asked = found[1]
    elif found := _ASKED_HOST.search(text):
        asked = f"{int(found[1]) / 2**30:.2f} GiB"
    else:
        asked = ""
    held = _held_by_gpu() if on_gpu else _held_by_host()
    place = "the GPU" if on_gpu else "the machine"
    wanted = f"{asked} more were asked for" if asked else ""
    return f"{place} is out of memory" + (
        f" ({', '.join(part for part in (wanted, held) if part)})" if wanted or held else ""
    )


def _held_by_gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return ""
    peak, total = torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    return f"{peak / 2**30:.1f} GiB were held at the most, of {total / 2**30:.1f} GiB"


def _held_by_host() -> str:
    import resource

    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB were held at the most"
