"""LeetCodeDataset (newfacade/LeetCodeDataset; arXiv 2504.14655): problem, solutions (one program), tests.

tests = {"functional": source of a `check` that calls `Solution()`}. Solutions name `List`, `inf`, `deque` unimported,
as on the site; the sandbox makes those imports for a `class Solution`.
"""

import json

from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw, fenced, labels, optional_text, text

DOMAIN = "code"


def read(row: Raw) -> Fields:
    tests = row.get("tests")
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except json.JSONDecodeError as error:
            raise BadRow(f"'tests' is not JSON ({error.msg})") from None
    if tests is not None and not isinstance(tests, dict):
        raise BadRow(f"'tests' is a {type(tests).__name__}, not an object")
    code = (tests or {}).get("functional")
    if code is not None and not isinstance(code, str):
        raise BadRow("tests['functional'] is not text")
    solution = optional_text(row, "solutions", "solution", "completion")
    return {
        "prompt": text(row, "problem"),
        "tests": {"mode": "unit", "language": "python", "code": code} if code else None,
        "trace": fenced(solution) if solution else None,
        "labels": labels(row, difficulty="difficulty", original_id="task_id"),
    }
