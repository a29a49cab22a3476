"""Tolerant readers: a run may be half written, killed in mid-line or edited by hand, and is reported all the same.

Nothing here raises for what a file holds. A missing file reads as nothing; what could not be read is counted.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ringlite_cli.json_rows import Unreadable, json_line
from ringlite_cli.model_text import loads

JsonRow = dict[str, Any]
Interval = tuple[float, float]


@dataclass(slots=True)
class Rows:
    """Rows of a JSONL file. `bad` counts lines that are no JSON objects; `cut` says that its middle was not read."""

    rows: list[JsonRow] = field(default_factory=list)
    bad: int = 0
    cut: bool = False


def load_json(path: Path) -> Any:
    """The parsed file, or None where it is missing, unreadable or not JSON."""
    try:
        return loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError):
        return None


def load_rows(path: Path, *, end_bytes: int | None = None, before: Sequence[Path] = ()) -> Rows:
    """The objects of a JSONL file, in order; with `end_bytes`, only those within that many bytes of either end.

    before: gzip files whose rows come before those of `path`: of them the first one's beginning is read.
    """
    found = Rows()
    if before and end_bytes is not None:
        found.cut = True
        _parse(_beginning(before[0], end_bytes), found)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if found.cut and end_bytes is not None and size > end_bytes:
                file.seek(size - end_bytes)
                _parse(file.read().split(b"\n")[1:], found)
            elif end_bytes is None or size <= 2 * end_bytes:
                _parse(file.read().split(b"\n"), found)
            else:
                found.cut = True
                _parse(file.read(end_bytes).split(b"\n")[:-1], found)
                file.seek(size - end_bytes)
                _parse(file.read().split(b"\n")[1:], found)
    except OSError:
        pass
    return found


def _beginning(path: Path, size: int) -> list[bytes]:
    """Return the first lines of a gzip file, `size` bytes of them; fewer of a damaged one."""
    try:
        with gzip.open(path) as file:
            return file.read(size).split(b"\n")[:-1]
    except (OSError, EOFError, zlib.error):
        return []


def _parse(lines: list[bytes], found: Rows) -> None:
    for line in lines:
        if not line.strip():
            continue
        row = json_line(line.decode("utf-8", errors="replace").encode(), 0)
        if isinstance(row, Unreadable):
            found.bad += 1
        else:
            found.rows.append(cast("JsonRow", row))


def number(value: Any) -> float | None:
    """A finite number of sane size (up to 1e100; below 1e-100 it is 0), or None. Called for millions of values."""
    kind = type(value)
    if kind is not float:
        if kind is not int:  # a bool is none
            return None
        try:
            value = float(value)
        except OverflowError:
            return None
    if not -1e100 <= value <= 1e100:  # nor is a nan
        return None
    return 0.0 if -1e-100 < value < 1e-100 else value


def num(row: Any, key: str) -> float | None:
    return number(row.get(key)) if isinstance(row, dict) else None


def text(row: Any, key: str, default: str = "") -> str:
    """The value as text where it is text or a number, else the default. A whole number has all its digits."""
    value = row.get(key) if isinstance(row, dict) else None
    if isinstance(value, str):
        return value
    found = number(value)
    if found is None:
        return default
    return str(value) if isinstance(value, int) and abs(found) < 1e21 else f"{found:g}"


def mapping(row: Any, key: str) -> JsonRow:
    value = row.get(key) if isinstance(row, dict) else None
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}


def listing(row: Any, key: str) -> list[Any]:
    value = row.get(key) if isinstance(row, dict) else None
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[JsonRow]:
    """The objects among a list's items; [] for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def interval(row: Any, key: str) -> Interval | None:
    """Return two finite numbers, the smaller first, or None."""
    ends = [number(v) for v in listing(row, key)]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        return None
    return min(ends[0], ends[1]), max(ends[0], ends[1])


def numbers(row: Any) -> dict[str, float]:
    """The entries of a mapping that are finite numbers."""
    if not isinstance(row, dict):
        return {}
    found = ((str(k), number(v)) for k, v in row.items())
    return {k: v for k, v in found if v is not None}


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as ("a.b", "value") pairs; anything else as JSON text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif value is not None and prefix:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
