"""Writes what curation leaves row by row, so that memory holds little at a time; every file is whole or not there."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ringlite_cli.data.rows import Drop, Row
from ringlite_cli.problems import Problem

_BATCH = 5000
_NESTED = ("tests", "labels")


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file that takes its name when the block ends well."""
    partial = path.with_name(path.name + ".partial")
    with partial.open(mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file
    partial.replace(path)


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with replacing(path) as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_drops(path: Path, drops: Sequence[Drop]) -> None:
    write_jsonl(path, (d.as_row() for d in drops))


def write_set(path: Path, rows: Sequence[Row]) -> None:
    """Problems as parquet, in the schema of `problems.write_problems`, a few thousand at a time."""
    import pyarrow as pa

    text = {f: pa.string() for f in Problem.__dataclass_fields__ if f != "index"}
    schema = pa.schema([(f, text.get(f, pa.int64())) for f in Problem.__dataclass_fields__])
    _write_parquet(path, (_flat(r.problem) for r in rows), schema)


def _flat(problem: Problem) -> dict[str, Any]:
    row = {name: getattr(problem, name) for name in Problem.__dataclass_fields__}
    for name in _NESTED:
        row[name] = json.dumps(row[name], ensure_ascii=False) if row[name] else ""
    return row


def write_provenance(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A row per produced row: set, id, source, index, split, and what it passed (names with spaces between)."""
    import pyarrow as pa

    text = ("set", "id", "source", "split", "verified_by", "passed")
    schema = pa.schema([*((name, pa.string()) for name in text), ("index", pa.int64())])
    _write_parquet(path, rows, schema)


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]], schema: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    partial = path.with_name(path.name + ".partial")
    with pq.ParquetWriter(partial, schema) as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _BATCH:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch = []
        writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    partial.replace(path)
