"""The rows of long files one by one, whatever state the files are in."""

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from ringlite_cli.json_rows import Unreadable, json_line, json_lines
from ringlite_cli.report.files import JsonRow
from ringlite_cli.runs.revisions import rescored_files
from ringlite_cli.runs.rollouts import rollout_lines

_BROKEN = (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, RecursionError)


def rollout_rows(stage: Path) -> Iterator[JsonRow]:
    """Yield the rollouts of an RL stage, oldest first, one in memory at a time; lines that are no rows are left out."""
    try:
        for line in rollout_lines(stage):
            row = json_line(line, 0)
            if not isinstance(row, Unreadable):
                yield cast("JsonRow", row)
    except _BROKEN:
        return  # a damaged part: what came before it was read


def response_rows(stage: Path) -> Iterator[JsonRow]:
    """Yield the responses of an eval stage in the same way."""
    return _rows_of(stage / "responses.jsonl")


def with_rescored(rows: Iterable[JsonRow], file: Path) -> Iterator[JsonRow]:
    """Yield a stage's rows, with what `ringlite rescore` last said of one under `rescored`: verdict, reward, revision.

    file: of the stage's rows. The rescored file has the rows of its day in their order; where they part, the stage has
    worked since, and later rows count as not rescored.
    """
    found = rescored_files(file)
    again = _rows_of(found[0]) if found else iter(())
    for row in rows:
        other = next(again, None)
        if other is not None and any(row.get(name) != other.get(name) for name in _SAME):
            again, other = iter(()), None
        if other is not None and "was" in other:
            yield {**row, "rescored": {name: other.get(name) for name in ("verdict", "reward", "revision")}}
        else:
            yield row


_SAME = ("step", "prompt_id", "policy", "task", "id", "sample", "response")
"""What tells two rows apart, of RL or of an evaluation."""


def _rows_of(file: Path) -> Iterator[JsonRow]:
    try:
        for row in json_lines(file, torn=False) if file.is_file() else ():
            if not isinstance(row, Unreadable):
                yield cast("JsonRow", row)
    except _BROKEN:
        return
