"""The rows of long files one by one, whatever state the files are in."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from ringlite_cli.json_rows import Unreadable, json_line, json_lines
from ringlite_cli.report.files import JsonRow
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
    file = stage / "responses.jsonl"
    try:
        for row in json_lines(file, torn=False) if file.is_file() else ():
            if not isinstance(row, Unreadable):
                yield cast("JsonRow", row)
    except _BROKEN:
        return
