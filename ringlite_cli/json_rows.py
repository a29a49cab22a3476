"""The one reader of rows in JSON: JSON Lines or a list, gzipped or not, one row in memory at a time.

A row that cannot be read comes out as an `Unreadable`, in its place, so that it is counted and never lost. A byte order
mark, `\\r\\n` and blank lines are no rows; other line ends of Unicode stand inside text and end nothing.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

from ringlite_cli.errors import UserError
from ringlite_cli.model_text import loads

WHOLE_JSON = 64 << 20  # bytes of a JSON list that are read at once; a longer one is streamed
LONGEST_LINE = 64 << 20  # bytes of a line of JSON, above which it is set aside
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that could not be read: why, and the start of what stood there."""

    why: str
    text: str = ""


RawRow = Mapping[str, Any] | Unreadable
Parse = Callable[[str], Any]
"""`loads` of model_text puts a replacement character for a lone surrogate; `json.loads` leaves it to the caller."""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, unzipped where its name ends in .gz or its bytes are those of gzip."""
    if path.suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP
    return cast("IO[bytes]", gzip.open(path, "rb")) if zipped else path.open("rb")


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


def json_lines(path: Path, parse: Parse = loads, *, torn: bool = True) -> Iterator[RawRow]:
    """Yield the rows of a JSON Lines file, gzipped or not, in order.

    torn: read a last line without an end too; False for a file that a killed process may have been writing.
    Raises UserError where the file is broken gzip.
    """
    try:
        with open_bytes(path) as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    _skip_line(file)
                    yield Unreadable(f"line {number} is longer than {LONGEST_LINE:,} bytes", repr(line[:200]))
                elif line.strip() and (torn or line.endswith(b"\n")):
                    yield json_line(line, number, parse)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(f"broken gzip file ({error})", where=str(path), hint="fetch it again") from None


def sound_rows(path: Path, rows: Iterator[RawRow]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file that must all be readable. Raises UserError, with the line, at one that is not."""
    for row in rows:
        if isinstance(row, Unreadable):
            raise UserError(row.why, where=str(path), hint=f"it begins: {row.text[:80]}" if row.text else "")
        yield cast("dict[str, Any]", row)


def json_rows(path: Path, parse: Parse = loads) -> Iterator[RawRow]:
    """Yield the rows of a JSON file: a list of objects, or JSON Lines.

    Raises UserError where the file is broken as a whole.
    """
    try:
        with open_bytes(path) as file:
            data = file.read(WHOLE_JSON + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(f"broken gzip file ({error})", where=str(path), hint="fetch it again") from None
    if len(data) <= WHOLE_JSON:
        yield from _whole_json(path, data, parse)
    elif data.lstrip(_BOM + b" \t\r\n").startswith(b"["):
        yield from _streamed_json(path)
    else:
        yield from json_lines(path, parse)


def _skip_line(file: IO[bytes]) -> None:
    while (part := file.readline(LONGEST_LINE)) and not part.endswith(b"\n"):
        pass


def _record(value: Any, where: str) -> RawRow:
    if isinstance(value, dict):
        return value
    return Unreadable(f"{where} is a {type(value).__name__}, not an object", str(value)[:200])


def _whole_json(path: Path, data: bytes, parse: Parse) -> Iterator[RawRow]:
    try:
        value = parse(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 (byte {error.start})", where=str(path), hint="save it as UTF-8") from None
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from json_lines(path, parse)
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


def _streamed_json(path: Path) -> Iterator[RawRow]:
    """The rows of a long list, one in memory at a time. Strict JSON: NaN and lone surrogates break it."""
    import ijson

    number = 0
    with open_bytes(path) as file:
        if file.read(3) != _BOM:
            file.seek(0)
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
