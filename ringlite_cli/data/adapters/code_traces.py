"""Accepted solutions of a code problem in the shapes that columns have them: a program, a list of them, a response."""

import ast
import json
from typing import Any

from ringlite_cli.data.adapters.chats import is_chat, normal_trace
from ringlite_cli.data.adapters.fields import BadRow, fenced
from ringlite_cli.data.adapters.thoughts import normal_thoughts

SOLUTIONS = ("solutions", "solution", "canonical_solution", "reference_solution")
"""Columns that hold accepted solutions, where a mapping of a code source names none."""
OTHERS = "other_solutions"
MAX_SOLUTIONS = 4  # that are tried, until one passes


def as_solutions(value: Any) -> tuple[str | None, dict[str, Any]]:
    """(the first solution as a response, labels with the others). Raises BadRow for what is no text."""
    if is_chat(value):
        return normal_trace(value), {}
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _listed(value)
    several = list(value) if isinstance(value, list | tuple) else [value]
    if any(not isinstance(each, str) for each in several if each is not None):
        raise BadRow("the accepted solutions are not texts")
    responses = list(dict.fromkeys(response(each) for each in several if each and each.strip()))[:MAX_SOLUTIONS]
    return (responses[0] if responses else None), ({OTHERS: responses[1:]} if len(responses) > 1 else {})


def response(solution: str) -> str:
    """A solution as a response: with its program in a code block. Text around one stays."""
    solution = solution.replace("\r\n", "\n")
    if "```" in solution or not _is_program(solution):
        return normal_thoughts(solution)
    return fenced(solution)


def _listed(value: str) -> Any:
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, list) else value


def _is_program(text: str) -> bool:
    try:
        return bool(ast.parse(text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
