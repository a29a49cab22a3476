"""`manifest.json`: the machine-written truth about a stage. It says `done` only when all outputs are on disk."""

import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from ringlite_cli.presence import ABSENT
from ringlite_cli.runs.files import digest, read_json, size_of, write_json

Status = Literal["running", "done", "failed", "interrupted"]
FILE = "manifest.json"
ROOM = "manifest.room"
_ROOM_BYTES = 128 << 10


@dataclass
class Manifest:
    """One stage's manifest.

    recipe:  the stage's resolved section. `inputs` and `outputs`: name -> {path, digest, rows or bytes}.
    tokens:  trained, generated, kept, dropped: whatever the stage counts.
    fingerprint: of what the result is known by: objective keys, inputs and seed.
    revision: the number of the stage's results when it was made (see StageKind.revisions).
    changes: where training went on with something else: {step, keys: {key: [before, after]}, made_by}.
    message: why it failed, or what the user should know.
    """

    stage: str
    kind: str
    status: Status
    fingerprint: str
    seed: int
    recipe: dict[str, Any]
    parent: list[str]
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str = ""
    seconds: float = 0.0
    tokens: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    message: str = ""
    revision: int = 1
    changes: list[dict[str, Any]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        write_json(folder / FILE, asdict(self))


_TYPED = TypeAdapter(Manifest)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a stage folder; None where there is none, or none that can be understood.

    Fields that only a later version knows are left out. Raises OSError where the file is there and cannot be read.
    """
    try:
        given = read_json(folder / FILE)
        known = {name: given[name] for name in Manifest.__dataclass_fields__ if name in given}
        manifest = _TYPED.validate_python(asdict(Manifest(**known)))
    except (*ABSENT, ValueError, TypeError, RecursionError):
        return None
    entries = [*manifest.inputs.values(), *manifest.outputs.values()]
    return manifest if all(isinstance(e.get(key), str) for e in entries for key in ("path", "digest")) else None


def keep_room(folder: Path) -> None:
    """Take room on the disk for a stage's last manifest, so that one which fills the disk can say so."""
    (folder / ROOM).write_bytes(os.urandom(_ROOM_BYTES))  # which no file system stores in less


def give_room(folder: Path) -> None:
    """Give up the room that `keep_room` took, if it is there."""
    (folder / ROOM).unlink(missing_ok=True)


def describe(path: Path, root: Path, rows: int | None = None) -> dict[str, Any]:
    """`{path, digest, rows or bytes}` of a file or folder, with its path relative to `root` where it lies below it."""
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    entry: dict[str, Any] = {"path": str(shown), "digest": digest(path)}
    return entry | ({"rows": rows} if rows is not None else {"bytes": size_of(path)})


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
