"""Tasks that are a file of the user's own (`--tasks mine --data mine=FILE`), read by columns as a source is."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ringlite_cli.data.guessing import open_file
from ringlite_cli.data.needs import lacks
from ringlite_cli.data.sources import check_readable, read_first
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.runs.files import read_json, write_json

FILE = "own_tasks.json"
_ALL = 1 << 40
log = logging.getLogger(__name__)


def load_own(
    name: str, path: Path, *, columns: str = "", domain: str | None = None, max_unreadable: float = 0.2
) -> list[Problem]:
    """Return a file's problems that a verifier can score; ids are `<task>/<row>`.

    columns: FIELD=COLUMN pairs, as in --columns; "" guesses. Rows without an answer or tests are left out, with a
    warning. Raises UserError where the file can't be read, or nothing in it can be scored.
    """
    reading = open_file(path, columns, domain)
    source = reading.source("eval")
    loaded, counted = read_first(source, _ALL)
    check_readable(source, [counted], max_unreadable)
    problems = [replace(row.problem, id=f"{name}/{row.problem.index}") for row in loaded.rows]
    reasons = Counter(reason for problem in problems if (reason := lacks(problem)))
    scored = [problem for problem in problems if not lacks(problem)]
    read_as = f"{path}: read as {reading.guess.in_words}" + (f", domain {reading.domain}" if reading.domain else "")
    if not scored:
        raise UserError(
            f"nothing verifies a response to any of its {len(problems):,} rows ({_told(reasons)}; {read_as})",
            where=f"task {name}",
            hint="name the answers' column, as in --columns prompt=question,answer=gold, and the rows' --domain",
        )
    if left_out := len(problems) - len(scored) + counted.unreadable:
        reasons["unreadable_row"] += counted.unreadable
        log.warning("%s: %d of %d rows are left out (%s)", path, left_out, counted.rows_in, _told(+reasons))
    return scored


def _told(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {number:,}" for reason, number in reasons.items())


def remember(out: Path, tasks: Mapping[str, str], columns: str, domain: str | None) -> None:
    """Keep beside the scores how own files were read, for `ringlite rescore`. tasks: name -> file."""
    if tasks:
        read = {name: {"file": path, "columns": columns, "domain": domain} for name, path in tasks.items()}
        write_json(out / FILE, remembered(out) | read)


def remembered(out: Path) -> dict[str, dict[str, Any]]:
    """Return what `remember` kept: task -> {file, columns, domain}; {} where nothing is."""
    try:
        found = read_json(out / FILE)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
