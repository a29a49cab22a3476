"""Old results of a run, kept under `.previous/<stage>/<fingerprint>` until `ringlite clean` frees them.

Nothing is ever overwritten here: where a fingerprint has an entry already, the next one is `<fingerprint>-2`. Runs of
earlier versions kept one result in `.previous/<stage>` itself; it is listed too, and moved when another joins it.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ringlite_cli.errors import not_done
from ringlite_cli.presence import entries, is_file, is_folder, is_there
from ringlite_cli.runs.files import size_of
from ringlite_cli.runs.folder import PREVIOUS
from ringlite_cli.runs.manifest import FILE, Manifest, read_manifest
from ringlite_cli.whole import free_name

ERROR = "error.txt"
"""The traceback of what ended a stage's last attempt."""
_TRIVIAL = {FILE, "pulse.json", ERROR, "metrics.jsonl"}
"""Files that are worth nothing without another: a stage that left no more, and finished nothing, is not kept."""
_PLAIN = re.compile(r"[0-9A-Za-z-]+")


@dataclass(frozen=True)
class Kept:
    """An old result: the stage that made it, its folder, and its manifest, if that can be read."""

    stage: str
    folder: Path
    manifest: Manifest | None

    @property
    def bytes(self) -> int:
        """Return what it takes on the disk; files that another run shares (hard links) count in full."""
        return size_of(self.folder)

    @property
    def changed(self) -> float:
        """Return when it was last worked on, in seconds since 1970."""
        return (self.folder / FILE if self.manifest else self.folder).stat().st_mtime


def kept_results(run: Path, stage: str | None = None) -> list[Kept]:
    """Return the old results of a run, or of one of its stages, the newest first."""
    found = list(_entries(run / PREVIOUS, stage))
    return sorted(found, key=lambda kept: kept.changed, reverse=True)


def _entries(folder: Path, stage: str | None) -> Iterator[Kept]:
    for home in entries(folder) if stage is None else [folder / stage]:
        if is_file(home / FILE):
            yield Kept(home.name, home, read_manifest(home))
            continue
        for entry in entries(home):
            if is_folder(entry):
                yield Kept(home.name, entry, read_manifest(entry))


def put_aside(run: Path, stage: str, fingerprint: str) -> Path | None:
    """Move what a stage left to `.previous`, and return where; None where nothing worth keeping was there."""
    folder = run / stage
    try:
        if not is_there(folder):
            return None
        manifest = read_manifest(folder)
        if not holds_work(folder) and not (manifest and manifest.status == "done"):
            shutil.rmtree(folder)
            return None
        home = run / PREVIOUS / stage
        if is_file(home / FILE):
            _move_old_layout(home)
        home.mkdir(parents=True, exist_ok=True)
        target = _free(home, fingerprint)
        folder.rename(target)
    except OSError as error:
        raise not_done("the last result can't be put aside", error, where=str(folder)) from None
    return target


def bring_back(kept: Kept, run: Path) -> Path:
    """Move an old result back to its stage's place, which must be free."""
    folder = run / kept.stage
    try:
        kept.folder.rename(folder)
    except OSError as error:
        raise not_done("it can't be taken back", error, where=str(kept.folder)) from None
    return folder


def holds_work(folder: Path) -> bool:
    """Return whether a stage's folder holds more than notes of how the work went."""
    return not all(path.name in _TRIVIAL and is_file(path) for path in entries(folder))


def _move_old_layout(home: Path) -> None:
    manifest = read_manifest(home)
    aside = home.with_name(f".{home.name}.moving")
    home.rename(aside)
    home.mkdir()
    aside.rename(_free(home, manifest.fingerprint if manifest else "unknown"))


def _free(home: Path, fingerprint: str) -> Path:
    return free_name(home / (fingerprint if _PLAIN.fullmatch(fingerprint) else "unknown"))
