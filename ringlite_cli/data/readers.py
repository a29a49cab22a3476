"""Raw rows out of json, jsonl, csv, tsv and parquet files, Arrow files of `datasets`, and hub data sets.

A row that can't be read comes out as an `Unreadable`, in its place, so that it is counted and never lost.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from ringlite_cli.byte_streams import BROKEN, SUFFIXES, open_bytes
from ringlite_cli.errors import UserError
from ringlite_cli.json_rows import RawRow, Unreadable, broken_file, json_lines, json_rows

FORMATS = ("jsonl", "json", "csv", "tsv", "parquet", "arrow")
KNOWN = f"{', '.join(FORMATS)} ({', '.join(SUFFIXES)} too)"
_LONGEST_FIELD = 1 << 27  # csv refuses fields above 128 KiB unless told
_HEAD = 4096  # bytes that are looked at for what stands between the columns


def read_file(path: Path, encoding: str | None = None) -> Iterator[RawRow]:
    """The rows of a local file, in order; row i of what comes out is row i of the file, from 0.

    encoding: of the text of json, jsonl, csv and tsv, where it is not UTF-8.
    Raises UserError for a missing file, an unknown format, and a file that is broken as a whole.
    """
    if not path.is_file():
        where = "a folder" if path.is_dir() else "no such file"
        raise UserError(where, where=str(path), hint=f"name a file of {KNOWN}")
    reader = _READERS.get(format_of(path) or "")
    if reader is None:
        raise UserError(f"can't read {path.name}", where=str(path), hint=f"known formats: {KNOWN}")
    try:
        yield from reader(path, encoding)
    except BROKEN as error:
        raise broken_file(path, error) from None


def format_of(path: Path) -> str | None:
    """The format that a file's name says; None for one that is not known."""
    zipped = path.suffix.lower() in SUFFIXES
    suffix = (path.with_suffix("") if zipped else path).suffix.lstrip(".").lower()
    if suffix not in _READERS or (zipped and suffix in _NEVER_ZIPPED):
        return None
    return suffix


def read_hub(hub: str, *, revision: str | None, subset: str | None, split: str) -> Iterator[RawRow]:
    """The rows of a hub data set. Raises UserError where it can't be reached or has no such split."""
    import datasets

    try:
        rows = datasets.load_dataset(hub, name=subset, split=split, revision=revision)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        first_line = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"can't load the hub data set {hub!r}, split {split!r} ({first_line})",
            where=f"hub {hub}",
            hint="check the id, revision, subset, hub_split and the network, or give `local:` and set RINGLITE_DATA",
        ) from None
    yield from rows


def _read_jsonl(path: Path, encoding: str | None) -> Iterator[RawRow]:
    """The rows of a JSON Lines file, or of a JSON list under such a name."""
    with open_bytes(path, encoding) as file:
        listed = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    read = json_rows if listed else json_lines
    return read(path, json.loads, encoding=encoding)


def _read_json(path: Path, encoding: str | None) -> Iterator[RawRow]:
    return json_rows(path, json.loads, encoding=encoding)


def _read_csv(path: Path, encoding: str | None) -> Iterator[RawRow]:
    """The rows of a table of text: between commas, or what stands between its column names instead."""
    csv.field_size_limit(_LONGEST_FIELD)
    with open_bytes(path, encoding) as file:
        head = cast("Any", file).peek(_HEAD).partition(b"\n")[0]
        delimiter = "," if b"," in head else max(";\t|", key=lambda mark: head.count(mark.encode()))
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, delimiter="\t" if format_of(path) == "tsv" else delimiter)
        header = next(reader, None)
        while header:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Unreadable(f"line {reader.line_num} is not CSV ({error})")
                continue
            if cells:
                yield _csv_row(header, cells, reader.line_num)


def _csv_row(header: list[str], cells: list[str], line: int) -> RawRow:
    if len(cells) != len(header):
        return Unreadable(f"line {line} has {len(cells)} cells, the header {len(header)}", ",".join(cells)[:200])
    if any("\udc80" <= ch <= "\udcff" for cell in cells if not cell.isascii() for ch in cell):
        return Unreadable(f"line {line} is not UTF-8", repr(",".join(cells)[:200]))
    return dict(zip(header, cells, strict=True))


def _read_parquet(path: Path, _: str | None) -> Iterator[RawRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1024):
                yield from _batch_rows(batch)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise UserError(f"not a readable parquet file ({error})", where=str(path), hint="fetch it again") from None


def _read_arrow(path: Path, _: str | None) -> Iterator[RawRow]:
    """The rows of an Arrow file as `datasets` writes them (a stream), or of one in Arrow's file format."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            for batch in _arrow_batches(source):
                for start in range(0, batch.num_rows, 1024):
                    yield from _batch_rows(batch.slice(start, 1024))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise UserError(f"not a readable Arrow file ({error})", where=str(path), hint="save it again") from None


def _arrow_batches(source: Any) -> Iterator[Any]:
    import pyarrow as pa

    try:
        stream = pa.ipc.open_stream(source)
    except pa.ArrowInvalid:
        file = pa.ipc.open_file(source)
        yield from (file.get_batch(i) for i in range(file.num_record_batches))
        return
    yield from stream


def _batch_rows(batch: Any) -> list[RawRow]:
    """The rows of an Arrow batch; those with text that is not UTF-8 come out as unreadable."""
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError as error:
        if len(batch) == 1:
            return [
                Unreadable(f"its text is not UTF-8 ({error.reason} at byte {error.start})", repr(error.object[:200]))
            ]
        return [row for i in range(len(batch)) for row in _batch_rows(batch.slice(i, 1))]


_READERS: dict[str, Callable[[Path, str | None], Iterator[RawRow]]] = {
    "jsonl": _read_jsonl,
    "ndjson": _read_jsonl,
    "json": _read_json,
    "csv": _read_csv,
    "tsv": _read_csv,
    "parquet": _read_parquet,
    "arrow": _read_arrow,
}
_NEVER_ZIPPED = ("parquet", "arrow")
