"""Checkpoints to go on from: sealed when they are whole, checked before they are used, and the logs taken back to them.

transformers writes a checkpoint file by file, finds the last one by its name, and drops old ones by their time of
change. Here a checkpoint counts when its seal is there, which is written last and lists every file. One that was cut
short is removed: on a full disk it would take the room that the next one needs. One that was damaged later is put
aside, for the one before; and steps, not clocks, say which is older. Nothing is removed because it could not be read:
a file system that fails for a moment costs a message, no checkpoint.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.presence import files_below, is_there
from ringlite_cli.runs.files import cut_jsonl, write_json
from ringlite_cli.whole import free_name

SEAL = "ringlite_seal.json"
KEPT = 2
"""Checkpoints kept where `save_total_limit` does not say."""
UNSOUND, BEFORE = ".unsound", ".before"
"""Behind the names of what was set aside: a damaged checkpoint, and the checkpoints of a run that was begun again."""
_WHOLE = 64 << 20  # bytes up to which a file's digest is of all of it; beyond, of its two ends

log = logging.getLogger(__name__)


def seal(checkpoint: Path, ranks: int = 1) -> None:
    """Write every file to the disk, then the list of them: from here on the checkpoint counts.

    ranks: how many processes it was saved by.
    """
    files = _files(checkpoint)
    for file in files:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    write_json(
        checkpoint / SEAL,
        {
            "ranks": ranks,
            "files": {str(file.relative_to(checkpoint)): [file.stat().st_size, _digest(file)] for file in files},
        },
    )


def check_ranks(checkpoint: Path, ranks: int) -> None:
    """Raise UserError if the checkpoint was saved by another number of ranks than is to resume from it.

    Random numbers, shards of the optimizer, the rest of a rollout and a budget per rank belong to ranks: with another
    number of them the run would be another one, and part of what is saved would be dropped.
    """
    before = json.loads((checkpoint / SEAL).read_text(encoding="utf-8")).get("ranks", ranks)
    if before != ranks:
        raise UserError(
            f"the checkpoint was saved by {before} rank{'s' if before != 1 else ''}; training can't resume from it on "
            f"{ranks}",
            where=str(checkpoint),
            hint=f"launch it on {before}, or begin the stage again (--fresh)",
        )


def fault(checkpoint: Path) -> str:
    """Return why training cannot resume from a checkpoint; "" where it can.

    Raises WorkFailed where the file system fails: whether the checkpoint is whole is then not known.
    """
    with _readable(checkpoint):
        try:
            sealed = (checkpoint / SEAL).read_bytes()
        except FileNotFoundError:
            return "it was not saved to its end"
        try:
            files = [(name, size, digest) for name, (size, digest) in json.loads(sealed)["files"].items()]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"its seal is damaged ({error})"
        for name, size, digest in files:
            try:
                if (checkpoint / name).stat().st_size != size or _digest(checkpoint / name) != digest:
                    return f"{name} is not what was saved"
            except FileNotFoundError:
                return f"{name} is missing"
    return ""


@contextmanager
def _readable(place: Path) -> Iterator[None]:
    """Turn an error of the file system into a message; "not found" is an answer and passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise WorkFailed(
            f"the checkpoints can't be read ({error.strerror or error})",
            where=str(error.filename or place),
            hint="nothing was removed; see to the disk or the mount, then give the same command again",
        ) from None


def last_checkpoint(folder: Path) -> tuple[Path, int] | None:
    """Return the newest whole checkpoint-<step> and its step; None without one."""
    return next(((path, step) for step, path in _newest_first(folder) if not fault(path)), None)


def set_unsound_aside(folder: Path) -> None:
    """Remove checkpoints without a seal, and rename damaged ones to checkpoint-<step>.unsound, each with a warning."""
    for step, path in _newest_first(folder):
        if not (why := fault(path)):
            continue
        if _remove_half(path):
            log.warning("the checkpoint of step %d is removed: %s, and takes room on the disk", step, why)
            continue
        aside = free_name(path.with_name(path.name + UNSOUND))
        log.warning("the checkpoint of step %d is left out: %s (kept as %s)", step, why, aside)
        path.rename(aside)


def _remove_half(checkpoint: Path) -> bool:
    """Remove a checkpoint whose folder lists no seal; return whether it is gone."""
    with _readable(checkpoint):
        if SEAL in os.listdir(checkpoint):
            return False
        shutil.rmtree(checkpoint, ignore_errors=True)
        return not is_there(checkpoint)


def drop_old(folder: Path, keep: int, protected: Collection[int] = ()) -> None:
    """Remove all but the `keep` newest checkpoints by their steps; those of the steps `protected` stay too."""
    for step, path in list(_newest_first(folder))[keep:]:
        if step not in protected:
            (path / SEAL).unlink(missing_ok=True)  # half removed, it must not count
            shutil.rmtree(path)


def drop_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps."""
    for later, path in _newest_first(folder):
        if later > step:
            (path / SEAL).unlink(missing_ok=True)
            shutil.rmtree(path)


def load_weights(model: Any, checkpoint: Path | str) -> None:
    """Load all of a checkpoint's weights into a model.

    transformers 5 saves a mixture's experts one by one and holds them fused; its Trainer loads a checkpoint without
    that conversion and not strictly, so that the experts would silently stay as they were. `from_pretrained` converts.
    """
    saved = type(model).from_pretrained(checkpoint, dtype=model.dtype)
    model.load_state_dict(saved.state_dict(), strict=True)


def go_back_to(step: int, *logs: Path) -> None:
    """Cut JSONL logs back to the rows of steps up to this one, so that no row is there twice after a resume."""
    for path in logs:
        cut_jsonl(path, lambda row: row["step"] <= step)


def start_afresh(checkpoints: Path, *logs: Path) -> None:
    """Remove an earlier run's logs, and set its checkpoints aside as <folder>.before if there are any."""
    with _readable(checkpoints):
        if _holds_checkpoints(checkpoints):
            aside = free_name(checkpoints.with_name(checkpoints.name + BEFORE))
            log.warning("starting afresh: the checkpoints that are there are kept as %s", aside)
            checkpoints.rename(aside)
        elif is_there(checkpoints):
            shutil.rmtree(checkpoints)
    for path in logs:
        path.unlink(missing_ok=True)


def last_or_afresh(
    checkpoints: Path, *logs: Path, resume: bool, ranks: int, steps: int, more: str
) -> tuple[Path, int] | None:
    """Return the last whole checkpoint with its step; None, with an earlier run set aside, where there is none.

    resume: False takes none. more: what a recipe gives for more steps. Raises UserError where that checkpoint is past
    the last step, for nothing would be trained, or of other ranks.
    """
    set_unsound_aside(checkpoints)
    last = last_checkpoint(checkpoints) if resume else None
    if last is None:
        start_afresh(checkpoints, *logs)
        return None
    if last[1] > steps:
        raise UserError(
            f"the run there is at step {last[1]} already, and {steps} are asked for: nothing would be trained",
            where=str(last[0]),
            hint=f"give more {more}, or start afresh (--fresh)",
        )
    check_ranks(last[0], ranks)
    return last


def _holds_checkpoints(folder: Path) -> bool:
    try:
        return any(entry.name.startswith("checkpoint-") for entry in os.scandir(folder))
    except FileNotFoundError:
        return False


def _newest_first(folder: Path) -> Iterator[tuple[int, Path]]:
    found = []
    with _readable(folder):
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return
        for entry in entries:
            step = entry.name.removeprefix("checkpoint-")
            if step != entry.name and step.isdecimal() and entry.is_dir():
                found.append((int(step), Path(entry.path)))
    yield from sorted(found, reverse=True)


def _files(checkpoint: Path) -> list[Path]:
    return sorted(file for file in files_below(checkpoint) if file.name != SEAL)


def _digest(file: Path) -> str:
    """Return the SHA-256 of a file, or of the first and last bytes of one that is too large to be read twice."""
    with file.open("rb") as handle:
        if file.stat().st_size <= _WHOLE:
            return hashlib.file_digest(handle, "sha256").hexdigest()[:16]
        total = hashlib.sha256(handle.read(_WHOLE // 2))
        handle.seek(-_WHOLE // 2, os.SEEK_END)
        total.update(handle.read())
        return total.hexdigest()[:16]
