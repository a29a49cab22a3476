"""What a right response to a problem is: its gold answer, or its tests, from the data that the stage read."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ringlite_cli.json_rows import json_lines
from ringlite_cli.model_text import loads, shown
from ringlite_cli.report.files import mapping, text
from ringlite_cli.report.load import Run, Stage

MOST_LETTERS = 600
"""Characters of an answer or of tests."""
CASES = 3
"""Test cases shown of a problem."""
_FIELDS = ("id", "answer", "tests")


def golds(run: Run, stages: Collection[Stage], wanted: Collection[str]) -> dict[str, str]:
    """Return problem -> its answer or first tests, of the wanted ones that stand in data files inside the run."""
    files = {file: None for stage in stages for file in _data_of(run, stage)}
    found: dict[str, str] = {}
    for file in files:
        for row in _rows(file):
            name = shown(text(row, "id"))
            if name in wanted and name not in found and (words := _right(row)):
                found[name] = words
    return found


def _data_of(run: Run, stage: Stage) -> Iterator[Path]:
    """Yield the data files among a stage's inputs; none outside the run's folder, whatever a manifest says."""
    inside = run.folder.resolve()
    for entry in mapping(stage.manifest, "inputs").values():
        file = (run.folder / text(entry, "path", "?")).resolve()
        if file.suffix in (".parquet", ".jsonl") and file.is_relative_to(inside) and file.is_file():
            yield file


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield rows with some of _FIELDS, a few thousand in memory at a time; nothing of a file that cannot be read."""
    try:
        if file.suffix == ".jsonl":
            yield from (dict(row) for row in json_lines(file) if isinstance(row, dict))
            return
        import pyarrow.parquet as pq

        with pq.ParquetFile(file) as table:
            columns = [name for name in _FIELDS if name in table.schema_arrow.names]
            for batch in table.iter_batches(2000, columns=columns):
                yield from batch.to_pylist()
    except Exception:  # a damaged file of strangers: pyarrow raises many kinds, and the page has no golds then
        return


def _right(row: dict[str, Any]) -> str:
    if answer := text(row, "answer"):
        return shown(answer[:MOST_LETTERS])
    tests = row.get("tests")
    try:
        tests = loads(tests) if isinstance(tests, str) and tests else tests
    except (ValueError, RecursionError):
        return ""
    if not isinstance(tests, dict) or not tests:
        return ""
    cases = tests.get("cases")
    lines = (
        [json.dumps(case, ensure_ascii=False, default=str) for case in cases[:CASES]] if isinstance(cases, list) else []
    )
    if isinstance(cases, list) and len(cases) > CASES:
        lines.append(f"… {len(cases) - CASES} more")
    if code := text(tests, "code"):
        lines.append(code)
    name = text(tests, "entry_point")
    return shown(f"tests{' of ' + name if name else ''}:\n" + "\n".join(lines))[:MOST_LETTERS] if lines else ""
