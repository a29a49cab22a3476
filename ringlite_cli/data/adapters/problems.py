"""ringlite's own schema (`ringlite_cli.problems.Problem`), as `write_problems` leaves it or as JSONL by hand."""

import json

from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw, answer_text, one_answer, optional_text, text
from ringlite_cli.data.adapters.testcases import read_tests
from ringlite_cli.data.adapters.thoughts import normal_thoughts

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
    answer = row.get("answer")
    fields: Fields = {
        "prompt": text(row, "prompt"),
        "answer": one_answer(answer) if isinstance(answer, dict) else answer_text(answer),
        "tests": read_tests(row.get("tests")),
        "trace": normal_thoughts(optional_text(row, "trace") or "") or None,
        "verifier": optional_text(row, "verifier") or "",
        "labels": labels,
    }
    if domain := optional_text(row, "domain"):
        fields["domain"] = domain
    return fields
