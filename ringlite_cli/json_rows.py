"""The one reader of rows in JSON: JSON Lines or a list, gzipped or not, one row in memory at a time.

A row that cannot be read comes out as an `Unreadable`, in its place, so that it is counted and never lost. A byte order
mark, `\\r\\n` and blank lines are no rows; other line ends of Unicode stand inside text and end nothing.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

from ringlite_cli.byte_streams import BROKEN, SUFFIXES, open_bytes
from ringlite_cli.errors import UserError
from ringlite_cli.model_text import loads

WHOLE_JSON = 64 << 20  # bytes of a JSON list that are read at once; a longer one is streamed
LONGEST_LINE = 64 << 20  # bytes of a line of JSON, above which it is set aside
_BOM = b"\xef\xbb\xbf"
_KINDS = {"gz": "gzip", "zst": "zstd", "bz2": "bzip2", "xz": "xz"}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that could not be read: why, and the start of what stood there."""

    why: str
    text: str = ""


RawRow = Mapping[str, Any] | Unreadable
Parse = Callable[[str], Any]
"""`loads` of model_text puts a replacement character for a lone surrogate; `json.loads` leaves it to the caller."""


def json_line(line: bytes, number: int, parse: Parse = loads) -> RawRow:
    """Return the object on a line of JSON, or why it cannot be read. number: the line's, from 1, for that message."""
    try:
        value = parse(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Unreadable(f"line {number} is not UTF-8 ({error.reason} at byte {error.start})", repr(line[:200]))
    except json.JSONDecodeError as error:
        return Unreadable(f"line {number} is not JSON ({error.msg})", line[:200].decode("utf-8", "replace"))
    except (RecursionError, ValueError) as error:  # ValueError: an integer of more digits than Python reads
        why = "nested too deeply" if isinstance(error, RecursionError) else f"not JSON ({error})"
        return Unreadable(f"line {number} is {why}", line[:200].decode("utf-8", "replace"))
    return _record(value, f"line {number}")


def json_lines(path: Path, parse: Parse = loads, *, torn: bool = True, encoding: str | None = None) -> Iterator[RawRow]:
    """Yield the rows of a JSON Lines file, compressed or not, in order.

    torn: read a last line without an end too; False for a file that a killed process may have been writing.
    encoding: what the file is written in, where that is not UTF-8.
    Raises UserError where the compressed file is broken.
    """
    try:
        with open_bytes(path, encoding) as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    _skip_line(file)
                    yield Unreadable(f"line {number} is longer than {LONGEST_LINE:,} bytes", repr(line[:200]))
                elif line.strip() and (torn or line.endswith(b"\n")):
                    yield json_line(line, number, parse)
    except BROKEN as error:
        raise broken_file(path, error) from None


def sound_rows(path: Path, rows: Iterator[RawRow]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file that must all be readable. Raises UserError, with the line, at one that is not."""
    return (_sound(path, row) for row in rows)


def whole_lines(file: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of an open file but for blank ones and a last one without an end, which may be half written."""
    for line in file:
        if line.endswith(b"\n") and line.strip():
            yield line


def sound_line(path: Path, line: bytes, number: int) -> dict[str, Any]:
    """Return the row on a line of JSON that was read from a file. Raises UserError where it is no row."""
    return _sound(path, json_line(line, number))


def last_rows(path: Path, tail: int = 64_000) -> list[dict[str, Any]]:
    """Return the last whole rows of a JSON Lines file, read from its end; [] where there is none.

    tail: bytes at the end of the file that are looked at.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - tail))
            lines = list(whole_lines(file))
    except OSError:
        return []
    rows: list[dict[str, Any]] = []
    for line in reversed(lines):
        row = json_line(line, 0)
        if isinstance(row, Unreadable):
            break
        rows.insert(0, dict(row))
    return rows


def json_rows(path: Path, parse: Parse = loads, *, encoding: str | None = None) -> Iterator[RawRow]:
    """Yield the rows of a JSON file: a list of objects, or JSON Lines.

    encoding: what the file is written in, where that is not UTF-8.
    Raises UserError where the file is broken as a whole.
    """
    try:
        with open_bytes(path, encoding) as file:
            data = file.read(WHOLE_JSON + 1)
    except BROKEN as error:
        raise broken_file(path, error) from None
    if len(data) <= WHOLE_JSON:
        yield from _whole_json(path, data, parse, encoding)
    elif data.lstrip(_BOM + b" \t\r\n").startswith(b"["):
        yield from _streamed_json(path, encoding)
    else:
        yield from json_lines(path, parse, encoding=encoding)


def broken_file(path: Path, error: Exception) -> UserError:
    """Return the error of a compressed file that breaks off, or is none."""
    kind = path.suffix.lower().lstrip(".") if path.suffix.lower() in SUFFIXES else "gz"
    return UserError(f"broken {_KINDS[kind]} file ({error})", where=str(path), hint="fetch it again")


def _skip_line(file: IO[bytes]) -> None:
    while (part := file.readline(LONGEST_LINE)) and not part.endswith(b"\n"):
        pass


def _sound(path: Path, row: RawRow) -> dict[str, Any]:
    if isinstance(row, Unreadable):
        raise UserError(row.why, where=str(path), hint=f"it begins: {row.text[:80]}" if row.text else "")
    return cast("dict[str, Any]", row)


def _record(value: Any, where: str) -> RawRow:
    if isinstance(value, dict):
        return value
    return Unreadable(f"{where} is a {type(value).__name__}, not an object", str(value)[:200])


def _whole_json(path: Path, data: bytes, parse: Parse, encoding: str | None) -> Iterator[RawRow]:
    try:
        value = parse(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(
            f"not UTF-8 (byte {error.start})", where=str(path), hint="save it as UTF-8, or give `encoding:`"
        ) from None
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from json_lines(path, parse, encoding=encoding)
            return
        what = f"broken JSON at line {error.lineno}, column {error.colno} ({error.msg})"
        raise UserError(what, where=str(path), hint="mend the file, or fetch it again") from None
    except RecursionError:
        raise UserError("nested too deeply", where=str(path), hint="write a list of objects") from None
    if not isinstance(value, list):
        raise UserError(
            f"holds a JSON {type(value).__name__}, not a list of rows",
            where=str(path),
            hint="write a list of objects, or JSON lines under the name .jsonl",
        )
    for number, item in enumerate(value):
        yield _record(item, f"row {number}")


def _streamed_json(path: Path, encoding: str | None) -> Iterator[RawRow]:
    """The rows of a long list, one in memory at a time. Strict JSON: NaN and lone surrogates break it."""
    import ijson

    number = 0
    with open_bytes(path, encoding) as file:
        if cast("Any", file).peek(3).startswith(_BOM):
            file.read(3)
        try:
            for item in ijson.items(file, "item"):
                yield _record(_floats(item), f"row {number}")
                number += 1
        except (ijson.JSONError, UnicodeDecodeError) as error:
            first_line = str(error).strip().partition("\n")[0]
            what = f"broken JSON after {number} rows ({first_line})"
            hint = "mend the file; as JSON lines (.jsonl) a broken row is set aside and the rest is read"
            raise UserError(what, where=str(path), hint=hint) from None


def _floats(value: Any) -> Any:
    """The value with ijson's decimals as floats."""
    if isinstance(value, dict):
        return {k: _floats(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_floats(v) for v in value]
    return float(value) if isinstance(value, Decimal) else value
