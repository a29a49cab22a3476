"""Writes what curation leaves row by row, so that memory holds little at a time; every file is whole or not there."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ringlite_cli.data.rows import Drop
from ringlite_cli.problems import write_parquet
from ringlite_cli.whole import whole


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file that takes its name when the block ends well."""
    with whole(path) as partial, partial.open(mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with replacing(path) as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_drops(path: Path, drops: Iterable[Drop]) -> None:
    write_jsonl(path, (d.as_row() for d in drops))


def read_origins(path: Path) -> Iterator[tuple[str, str, int, str, bool]]:
    """(id, source, index, domain, whether it has a trace) of each row of a produced set, in order."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["id", "source", "index", "domain", "trace"]):
            names = [batch.column(name).to_pylist() for name in ("id", "source", "index", "domain")]
            yield from zip(*names, batch.column("trace").is_valid().to_pylist(), strict=True)


PROVENANCE = ("set", "id", "source", "split", "verified_by", "passed", "index")


def write_provenance(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """A row per produced row, in the order of `PROVENANCE`; `passed` is names with spaces between."""
    import pyarrow as pa

    schema = pa.schema([(name, pa.int64() if name == "index" else pa.string()) for name in PROVENANCE])
    write_parquet(path, rows, schema)
