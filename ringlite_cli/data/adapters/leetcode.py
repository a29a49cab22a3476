"""LeetCodeDataset (newfacade/LeetCodeDataset; arXiv 2504.14655): task_id, question_id, difficulty, tags,
problem_description, starter_code, query, prompt (imports), completion, entry_point, test, input_output.

Also its copies with problem, solutions (one program), tests = {"functional": source of a `check` that calls
`Solution()`}. Solutions name `List`, `inf`, `deque` unimported, as on the site; the sandbox makes those imports for a
`class Solution`.
"""

import json

from ringlite_cli.data.adapters.competition import with_starter
from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw, fenced, labels, optional_text, text

DOMAIN = "code"
EDUCATION = "programming interview"


def read(row: Raw) -> Fields:
    code = _check(row)
    solution = optional_text(row, "solutions", "solution", "completion")
    given = labels(row, difficulty="difficulty", original_id="task_id", date="estimated_date")
    if isinstance(row.get("tags"), list | tuple):
        given["tags"] = [str(t) for t in row["tags"]]
    return {
        "prompt": _question(row),
        "tests": {"mode": "unit", "language": "python", "code": code} if code else None,
        "trace": fenced(solution) if solution else None,
        "labels": given,
    }


def _question(row: Raw) -> str:
    if row.get("problem") is not None:
        return text(row, "problem")
    if row.get("problem_description") is not None:
        return with_starter(text(row, "problem_description").strip(), optional_text(row, "starter_code") or "")
    return text(row, "query", "problem")


def _check(row: Raw) -> str | None:
    """The source that checks a program: a column of its own, or an entry of `tests`."""
    if row.get("test") is not None:
        return f"{text(row, 'test').strip()}\n\ncheck({text(row, 'entry_point')})\n"
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
    return code
