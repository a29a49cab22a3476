"""ringlite's own schema (`ringlite_cli.problems.Problem`), as `write_problems` leaves it or as JSONL by hand."""

import json
from typing import Any

from ringlite_cli.data.adapters.fields import (
    BadRow,
    Fields,
    Raw,
    answer_text,
    one_answer,
    optional_text,
    reference_texts,
    text,
)
from ringlite_cli.data.adapters.testcases import read_tests
from ringlite_cli.data.adapters.thoughts import normal_thoughts
from ringlite_cli.problems import REFERENCED

DOMAIN = "general"


def read(row: Raw) -> Fields:
    labels = row.get("labels") or {}
    if isinstance(labels, str):
        try:
            labels = json.loads(labels)
        except json.JSONDecodeError as error:
            raise BadRow(f"'labels' is not JSON ({error.msg})") from None
    if not isinstance(labels, dict):
        raise BadRow(f"'labels' is a {type(labels).__name__}, not an object")
    if row.get("id"):
        labels = {"original_id": row["id"], **labels}
    answer, verifier = row.get("answer"), optional_text(row, "verifier") or ""
    fields: Fields = {
        "prompt": text(row, "prompt"),
        "answer": _answer(answer, verifier),
        "tests": read_tests(row.get("tests")),
        "trace": normal_thoughts(optional_text(row, "trace") or "") or None,
        "verifier": verifier,
        "labels": labels,
    }
    if domain := optional_text(row, "domain"):
        fields["domain"] = domain
    return fields


def _answer(value: Any, verifier: str) -> str | None:
    if verifier in REFERENCED:
        return reference_texts(value)
    return one_answer(value) if isinstance(value, dict) else answer_text(value)
