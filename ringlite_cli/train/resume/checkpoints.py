"""Checkpoints to go on from: sealed when they are whole, checked before they are used, and the logs taken back to them.

transformers writes a checkpoint file by file, finds the last one by its name, and drops old ones by their time of
change. Here a checkpoint counts when its seal is there, which is written last and lists every file; one that was cut
short or damaged later is put aside with a warning, for the one before; and steps, not clocks, say which is older.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.runs.files import cut_jsonl, write_json

SEAL = "ringlite_seal.json"
KEPT = 2
"""Checkpoints kept where `save_total_limit` does not say."""
_WHOLE = 64 << 20  # bytes up to which a file's digest is of all of it; beyond, of its two ends

log = logging.getLogger(__name__)


def seal(checkpoint: Path, ranks: int = 1) -> None:
    """Makes sure that every file is on the disk, then writes the list of them: from here on the checkpoint counts.

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
    """Raises UserError where another number of ranks saved a checkpoint than is to go on from it.

    Random numbers, shards of the optimizer, the rest of a rollout and a budget per rank belong to ranks: with another
    number of them the run would be another one, and part of what is saved would be dropped.
    """
    before = json.loads((checkpoint / SEAL).read_text(encoding="utf-8")).get("ranks", ranks)
    if before != ranks:
        raise UserError(
            f"the checkpoint was saved by {before} rank{'s' if before != 1 else ''}, and {ranks} would go on from it",
            where=str(checkpoint),
            hint=f"launch it on {before}, or begin the stage again (--fresh)",
        )


def fault(checkpoint: Path) -> str:
    """Why a checkpoint can't be gone on from; "" where it can."""
    try:
        files = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))["files"].items()
        for name, (size, digest) in files:
            file = checkpoint / name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != size or _digest(file) != digest:
                return f"{name} is not what was saved"
    except FileNotFoundError:
        return "it was not saved to its end"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its seal can't be read ({error})"
    return ""


def last_checkpoint(folder: Path) -> tuple[Path, int] | None:
    """The newest checkpoint-<step> that is whole, with its step; None where there is none."""
    return next(((path, step) for step, path in _newest_first(folder) if not fault(path)), None)


def drop_unsound(folder: Path) -> None:
    """Removes checkpoints that are not whole, each with a warning that says what is lost."""
    for step, path in _newest_first(folder):
        if why := fault(path):
            log.warning("the checkpoint of step %d is left out: %s (%s)", step, why, path)
            shutil.rmtree(path)


def drop_old(folder: Path, keep: int, protected: int | None = None) -> None:
    """Removes all but the `keep` newest checkpoints by their steps; the one of the step `protected` stays too."""
    for step, path in list(_newest_first(folder))[keep:]:
        if step != protected:
            (path / SEAL).unlink(missing_ok=True)  # half removed, it must not count
            shutil.rmtree(path)


def drop_after(folder: Path, step: int) -> None:
    """Removes the checkpoints of later steps."""
    for later, path in _newest_first(folder):
        if later > step:
            (path / SEAL).unlink(missing_ok=True)
            shutil.rmtree(path)


def load_weights(model: Any, checkpoint: Path | str) -> None:
    """Puts a checkpoint's weights into a model, all of them.

    transformers 5 saves a mixture's experts one by one and holds them fused; its Trainer loads a checkpoint without
    that conversion and not strictly, so that the experts would silently stay as they were. `from_pretrained` converts.
    """
    saved = type(model).from_pretrained(checkpoint, dtype=model.dtype)
    model.load_state_dict(saved.state_dict(), strict=True)


def go_back_to(step: int, *logs: Path) -> None:
    """Cuts JSONL logs back to the rows of steps up to this one, so that no row stands twice after a resume."""
    for path in logs:
        cut_jsonl(path, lambda row: row["step"] <= step)


def start_afresh(checkpoints: Path, *logs: Path) -> None:
    """Removes an earlier run's checkpoints and logs."""
    if checkpoints.exists():
        shutil.rmtree(checkpoints)
    for path in logs:
        path.unlink(missing_ok=True)


def _newest_first(folder: Path) -> Iterator[tuple[int, Path]]:
    found = [(path.name.rpartition("-")[2], path) for path in folder.glob("checkpoint-*") if path.is_dir()]
    yield from sorted(((int(step), path) for step, path in found if step.isdecimal()), reverse=True)


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != SEAL)


def _digest(file: Path) -> str:
    """SHA-256 of a file, or of the first and last bytes of one that is too large to be read twice."""
    with file.open("rb") as handle:
        if file.stat().st_size <= _WHOLE:
            return hashlib.file_digest(handle, "sha256").hexdigest()[:16]
        total = hashlib.sha256(handle.read(_WHOLE // 2))
        handle.seek(-_WHOLE // 2, os.SEEK_END)
        total.update(handle.read())
        return total.hexdigest()[:16]
