"""CodeContests (deepmind/code_contests; AlphaCode, arXiv 2203.07814): name, description, public_tests, private_tests,
generated_tests {input, output: lists}, solutions and incorrect_solutions {language, solution: lists}, cf_rating, ...

Languages are numbers: 3 is Python 3 (1 is Python 2, 2 C++, 4 Java). Solutions in other languages are left out.
"""

from collections.abc import Mapping
from typing import Any

from ringlite_cli.data.adapters.competition import code_fields, stdin_tests
from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw, fenced, labels, text

DOMAIN = "code"
EDUCATION = "programming contest"
_PYTHON_3 = (3, "PYTHON3")
_WRONG = 4  # known wrong programs that are kept, to order the tests by


def read(row: Raw) -> Fields:
    parts = [_lists(row, name, "input", "output") for name in ("public_tests", "private_tests", "generated_tests")]
    inputs, outputs = ([x for part in parts for x in part[side]] for side in (0, 1))
    given = labels(row, original_id="name", difficulty="cf_rating", pictures="picture_num")
    if wrong := _python(row, "incorrect_solutions")[:_WRONG]:
        given["wrong_solutions"] = [fenced(program) for program in wrong]
    question = text(row, "description").strip()
    prompt = f"{question}\n\nWrite a Python program that reads standard input and prints the answer."
    return code_fields(prompt, stdin_tests(inputs, outputs), _python(row, "solutions"), given)


def _python(row: Raw, name: str) -> list[str]:
    languages, programs = _lists(row, name, "language", "solution")
    return [p for language, p in zip(languages, programs, strict=False) if language in _PYTHON_3]


def _lists(row: Raw, name: str, one: str, two: str) -> tuple[list[Any], list[Any]]:
    """Two lists side by side: {one: [...], two: [...]}, or a list of {one, two}."""
    value = row.get(name)
    if value is None:
        return [], []
    if isinstance(value, Mapping):
        return list(value.get(one) or []), list(value.get(two) or [])
    if isinstance(value, list) and all(isinstance(v, Mapping) for v in value):
        return [v.get(one) for v in value], [v.get(two) for v in value]
    raise BadRow(f"{name!r} is a {type(value).__name__}, not lists of {one!r} and {two!r}")
