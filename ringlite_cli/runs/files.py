"""Files that are whole or not there: atomic JSON and text, JSONL appended row by row, digests."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.json_rows import json_lines, sound_rows
from ringlite_cli.model_text import encodable, loads
from ringlite_cli.presence import files_below, is_folder, is_there
from ringlite_cli.whole import whole


def write_text(path: Path, text: str) -> None:
    """Write text so that a reader sees the old file or the whole new one, also where several processes write it."""
    with whole(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically. NaN and infinities become null, so that any JSON reader can read it."""
    write_text(path, json.dumps(finite(value), ensure_ascii=False, indent=1) + "\n")


def read_json(path: Path) -> Any:
    return loads(path.read_text(encoding="utf-8"))


def finite(value: Any) -> Any:
    """The same value with None for each NaN or infinite float, and no lone surrogate: JSON in UTF-8 has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


class MetricsWriter:
    """Appends rows to a JSONL file, each flushed, so that a killed process loses at most the row in hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_row(path)
        self._file = path.open("a", encoding="utf-8")

    def append(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(finite(row), ensure_ascii=False) + "\n")
        self._file.flush()

    def extend(self, rows: Iterable[dict[str, Any]]) -> None:
        self._file.writelines(json.dumps(finite(row), ensure_ascii=False) + "\n" for row in rows)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cut_torn_row(path: Path) -> None:
    """Drop what a killed process left after the last line end, so that the next row starts on a line of its own."""
    if not is_there(path) or path.stat().st_size == 0:
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        place = end
        while place:  # from the end, a block at a time: the file may be larger than memory
            start = max(0, place - (1 << 20))
            file.seek(start)
            if (found := file.read(place - start).rfind(b"\n")) >= 0:
                place = start + found + 1
                break
            place = start
        if place != end:
            file.truncate(place)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return all whole rows of a JSONL file; [] where there is none. A torn last line (a killed writer's) is left out.

    Raises UserError, with the line's number, where another line is no row.
    """
    return list(sound_rows(path, json_lines(path, torn=False))) if is_there(path) else []


def cut_jsonl(path: Path, keep: Any) -> None:
    """Rewrite a JSONL file with the rows for which keep(row) is true (to go back to a checkpoint)."""
    if is_there(path):
        rows = [row for row in read_jsonl(path) if keep(row)]
        write_jsonl(path, rows)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSONL, whole or not at all. NaN and infinities become null."""
    write_text(path, "".join(json.dumps(finite(row), ensure_ascii=False) + "\n" for row in rows))


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their names (sorted), as `sha256:<first 16 hex digits>`."""
    total = hashlib.sha256()
    is_whole_folder = is_folder(path)
    for file in sorted(files_below(path)) if is_whole_folder else [path]:
        if is_whole_folder:
            total.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                total.update(block)
    return "sha256:" + total.hexdigest()[:16]


def size_of(path: Path) -> int:
    """Bytes of a file or of all files of a folder."""
    if is_folder(path):
        return sum(file.stat().st_size for file in files_below(path))
    return path.stat().st_size
