"""What ended a stage, as a message that a user can act on: full disks, lost ranks, memory that ran out."""

import errno
import re
import shutil
from pathlib import Path

from ringlite_cli.errors import RingliteError, WorkFailed

_FULL = re.compile(r"os error 28|No space left|Disk quota|failed writing file|unexpected pos", re.IGNORECASE)
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|Cannot allocate memory|std::bad_alloc", re.IGNORECASE)
_ASKED_GPU = re.compile(r"Tried to allocate ([\d.]+ [KMG]iB)")
_ASKED_HOST = re.compile(r"tried to allocate (\d+) bytes", re.IGNORECASE)
_LOST_RANK = re.compile(
    r"Connection closed by peer|Connection reset by peer|Socket Timeout|Broken pipe|NCCL|watchdog|"
    r"Timed out waiting|Timed out after|remote process exited",
    re.IGNORECASE,
)
SMALLER = (
    "lower row_tokens, trl.max_completion_length or prompts_per_step (rl), trl.max_length (sft), batch_tokens (eval)"
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
        return WorkFailed(f"can't be written ({error.strerror})", where=where, hint="give another --runs-dir")
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError | OSError) and _NO_MEMORY.search(text)):
        return WorkFailed(_memory(text), where=str(folder), hint=f"{SMALLER}; the same command goes on")
    if isinstance(error, RuntimeError) and _LOST_RANK.search(text):
        return WorkFailed(
            f"another rank of this run is gone ({text.splitlines()[0][:200]})",
            where=str(folder),
            hint="the first rank to fail says why in its own output; the same launch goes on from the last checkpoint",
        )
    return None


def _disk_full(folder: Path) -> WorkFailed:
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free / 2**20
    return WorkFailed(
        f"the disk is full ({free:,.0f} MiB free)", where=str(folder), hint="free some space; the same command goes on"
    )


def _memory(text: str) -> str:
    """What was asked for and what was held, as far as the error and the counters of torch tell."""
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
