"""Revisions of verdicts: which one scored some rows, and where rows lie that were verified again.

A stage's stored responses are never changed. What `ringlite rescore` finds stands beside them, in a folder a revision.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.problems import VERDICT_REVISION

FIRST = 1
"""The revision of rows that name none: they are older than the numbers."""


def rescored_folder(folder: Path, revision: int = VERDICT_REVISION) -> Path:
    """Return where the rescored rows of a stage's folder stand."""
    return folder / "rescored" / f"revision-{revision}"


def rescored_files(file: Path) -> list[Path]:
    """Return the rescored forms of a file of responses, the newest revision first."""
    found = file.parent.glob(f"rescored/revision-*/{file.name}")
    return sorted(found, key=lambda path: int(path.parent.name.rpartition("-")[2]), reverse=True)


def revisions_of(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return the revisions that verified some rows, in order."""
    return sorted({int(row.get("revision") or FIRST) for row in rows})


def in_words(revisions: Iterable[int]) -> str:
    return " and ".join(map(str, revisions))
