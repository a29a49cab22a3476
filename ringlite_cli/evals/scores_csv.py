"""Scores as a table for spreadsheets: scores.csv beside scores.json."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.runs.files import read_json, write_text

FILE = "scores.csv"
COLUMNS = ("policy", "task", "avg@k", "ci95_low", "ci95_high", "pass@k", "maj@k", "n", "k", "response_tokens_mean",
           "truncated_fraction", "tokens")  # fmt: skip


def write_csv(folder: Path, policy: str = "") -> Path:
    """Write the scores of a folder as CSV, a row per policy and task; return the file.

    policy: the name of the one that a scores.json of tasks alone speaks of. Raises UserError without scores.json.
    """
    try:
        scores = read_json(folder / "scores.json")
    except (OSError, ValueError):
        raise UserError("no scores to write as CSV", where=str(folder / "scores.json")) from None
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(_rows({policy: scores} if policy else scores))
    write_text(folder / FILE, text.getvalue())
    return folder / FILE


def _rows(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[list[Any]]:
    for policy, tasks in scores.items():
        for task, score in tasks.items():
            low, high = score.get("ci95") or (None, None)
            given = {**score, "policy": policy, "task": task, "ci95_low": low, "ci95_high": high}
            yield ["" if given.get(name) is None else given[name] for name in COLUMNS]
