"""Any other schema, by a mapping: our field -> column, as in `columns: {prompt: question, answer: final}`.

Fields: prompt (required), answer, trace, tests (an object or JSON text), domain, verifier; other names are labels.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw, answer_text, optional_text, text
from ringlite_cli.errors import UserError

_FIELDS = ("prompt", "answer", "trace", "tests", "domain", "verifier")


def mapped(columns: Mapping[str, str]) -> Callable[[Raw], Fields]:
    """The adapter of a column mapping. Raises UserError where nothing is mapped to `prompt`."""
    if "prompt" not in columns:
        raise UserError(
            "columns maps nothing to 'prompt'",
            where="columns",
            hint=f"write `prompt: <column>`; other fields are {', '.join(_FIELDS[1:])}, and labels by any name",
        )

    def read(row: Raw) -> Fields:
        absent = [c for c in columns.values() if c not in row]
        if absent:
            raise BadRow(f"no column {', '.join(map(repr, absent))}; it has {', '.join(map(repr, row)) or 'none'}")
        fields: Fields = {"prompt": text(row, columns["prompt"])}
        if "answer" in columns:
            fields["answer"] = answer_text(row[columns["answer"]])
        if "tests" in columns:
            fields["tests"] = tests_object(row[columns["tests"]])
        if "trace" in columns:
            fields["trace"] = optional_text(row, columns["trace"])
        if "domain" in columns:
            fields["domain"] = text(row, columns["domain"])
        if "verifier" in columns:
            fields["verifier"] = optional_text(row, columns["verifier"]) or ""
        fields["labels"] = {k: row[c] for k, c in columns.items() if k not in _FIELDS and row[c] is not None}
        return fields

    return read


def tests_object(value: Any) -> dict[str, Any] | None:
    """Tests as an object, out of an object or JSON text; None where empty."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise BadRow(f"the tests are not JSON ({error.msg})") from None
    if value is None or value == "":
        return None
    if not isinstance(value, dict):
        raise BadRow(f"the tests are a {type(value).__name__}, not an object")
    return value
