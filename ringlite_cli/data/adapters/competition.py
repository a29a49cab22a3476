"""What the adapters of competition problems share: accepted solutions, cases of input and output, starter code."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.data.adapters.code_traces import MAX_SOLUTIONS
from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw, fenced, labels, optional_text, text
from ringlite_cli.data.adapters.testcases import MAX_CASES, returned, stdin_tests


def read_inputs_outputs(row: Raw) -> Fields:
    """APPS and TACO: question, solutions and input_output as JSON text, starter_code."""
    starter = optional_text(row, "starter_code") or ""
    tests = _tests(json_field(row, "input_output"), starter)
    question = text(row, "question").strip()
    return code_fields(
        with_starter(question, starter) if tests and tests["mode"] == "function" else _with_stdin(question),
        tests,
        [s for s in json_field(row, "solutions") or [] if isinstance(s, str)],
        labels(
            row,
            difficulty="difficulty",
            original_id="problem_id",
            collection="source",
            url="url",
            tags="tags",
            pictures="picture_num",
        ),
    )


def code_fields(prompt: str, tests: dict[str, Any] | None, solutions: Sequence[str], given: dict[str, Any]) -> Fields:
    """The first accepted solution is the trace; some others wait among the labels, in case that it fails."""
    distinct = list(dict.fromkeys(s.replace("\r\n", "\n").strip() for s in solutions if s.strip()))[:MAX_SOLUTIONS]
    if len(distinct) > 1:
        given = {**given, "other_solutions": [fenced(s) for s in distinct[1:]]}
    return {
        "prompt": prompt,
        "tests": tests,
        "trace": fenced(distinct[0]) if distinct else None,
        "labels": given,
    }


def with_starter(question: str, starter: str) -> str:
    return f"{question}\n\nComplete this code:\n{fenced(starter)}" if starter.strip() else question


def _with_stdin(question: str) -> str:
    return f"{question}\n\nWrite a Python program that reads standard input and prints the answer."


def json_field(row: Raw, name: str) -> Any:
    """A column that is JSON text, or the value itself; None where empty."""
    value = row.get(name)
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        raise BadRow(f"{name!r} is not JSON ({getattr(error, 'msg', error)})") from None


def _tests(cases: Any, starter: str) -> dict[str, Any] | None:
    if not cases:
        return None
    if not isinstance(cases, Mapping) or not all(isinstance(cases.get(k), list) for k in ("inputs", "outputs")):
        raise BadRow("'input_output' has no lists 'inputs' and 'outputs'")
    name = cases.get("fn_name")
    if not name:
        return stdin_tests(cases["inputs"], cases["outputs"])
    pairs = list(zip(cases["inputs"], cases["outputs"], strict=False))[:MAX_CASES]
    calls = [{"args": i if isinstance(i, list) else [i], "expected": returned(o)} for i, o in pairs]
    entry = f"Solution.{name}" if "class Solution" in starter else str(name)
    return {"mode": "function", "language": "python", "entry_point": entry, "cases": calls} if calls else None
