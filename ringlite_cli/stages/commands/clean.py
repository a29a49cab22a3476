"""`ringlite clean RUN`: lists the old results that a run keeps, with their sizes, and frees the older ones."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import not_done
from ringlite_cli.runs.folder import PREVIOUS, check_is_folder, lock_run
from ringlite_cli.runs.previous import Kept, kept_results


def clean_run(run: Path, console: Console, *, keep: int | None = None) -> None:
    """List what lies under `.previous`, and remove all but the `keep` newest results of each stage.

    keep: None removes nothing. Raises UserError where there is no run, or a process is at work in it.
    """
    check_is_folder(run)
    found = kept_results(run)
    if not found:
        console.say(f"{run}: no old results are kept")
        return
    freed = [] if keep is None else _older(found, keep)
    for old in found:
        console.say(f"  {_line(old)}" + (" (freed)" if old in freed else ""))
    if keep is None:
        console.say(f"{_size(sum(old.bytes for old in found))} in {len(found)}; --keep N frees all but N of each stage")
        return
    total = sum(old.bytes for old in freed)
    with lock_run(run):
        for old in freed:
            _remove(old)
    console.say(f"{_size(total)} freed of {len(freed)} old results; {len(found) - len(freed)} are kept")


def _older(found: Sequence[Kept], keep: int) -> list[Kept]:
    """All but the newest of each stage; `found` has the newest first."""
    seen: dict[str, int] = {}
    older = []
    for old in found:
        seen[old.stage] = seen.get(old.stage, 0) + 1
        if seen[old.stage] > keep:
            older.append(old)
    return older


def _remove(old: Kept) -> None:
    try:
        shutil.rmtree(old.folder)
        if old.folder.parent.name != PREVIOUS and not any(old.folder.parent.iterdir()):
            old.folder.parent.rmdir()
    except OSError as error:
        raise not_done("it can't be removed", error, where=str(old.folder)) from None


def _line(old: Kept) -> str:
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(old.changed))
    status = old.manifest.status if old.manifest else "without a readable manifest"
    steps = sorted(int(n) for p in old.folder.glob("*/checkpoint-*") if (n := p.name.rpartition("-")[2]).isdecimal())
    held = f", checkpoints up to step {steps[-1]}" if steps else ""
    return f"{old.folder}  {_size(old.bytes)}  {status}, {day}{held}"


def _size(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"
