"""Which answers may reach reasoning-gym's scorers: an allow-list of characters and names for each kind of task.

Scorers of the tasks below evaluate the answer (`eval`, sympy's `parse_expr`). A form is checked here, by one linear
regular expression, before the answer goes into the jail. What no form allows is a wrong answer: none of these tasks has
a right one outside its form. Names that would do the work asked for (`integrate`, `expand`) are in no form.
"""

import re
import unicodedata
from collections.abc import Callable

from ringlite_cli.sandbox.guest.closed_eval import CONSTANTS, FUNCTIONS

MAX_CHARACTERS = 20_000
_MAX_EXPRESSION = 2_000
_NUMBERS = re.compile(r"[0-9+\-*/()\s]*")
_SYMBOLS = re.compile(r"[0-9A-Za-z+\-*/^(),.\s]*")
_PLAIN = re.compile(r"[0-9A-Za-z_+\-\s]*")
_LIST = re.compile(r"""(?:[0-9+\-.,\[\]\s]|'[0-9A-Za-z_ ]*'|"[0-9A-Za-z_ ]*")*""")
_NAME = re.compile(r"[A-Za-z]+")
_PUT_TOGETHER = re.compile(r"\*\*|//")
_ATTRIBUTE = re.compile(r"\.\s*[A-Za-z]|[A-Za-z]\s*\.")


def _arithmetic(answer: str) -> bool:
    """Whole numbers, + - * / and brackets; no power and no floor division."""
    return _NUMBERS.fullmatch(answer) is not None and not _PUT_TOGETHER.search(answer)


def _expression(answer: str) -> bool:
    """Numbers, one-letter variables and the functions of calculus; no attribute."""
    if _SYMBOLS.fullmatch(answer) is None or _ATTRIBUTE.search(answer):
        return False
    return all(len(name) == 1 or name in FUNCTIONS | CONSTANTS for name in _NAME.findall(answer))


def _polynomial(answer: str) -> bool:
    """Numbers, one-letter variables, + - * / ** and brackets."""
    return _expression(answer) and all(len(name) == 1 for name in _NAME.findall(answer))


def _data(answer: str) -> bool:
    """Words and numbers, or lists of numbers and quoted words: nothing that could be called or assigned to."""
    return (_PLAIN.fullmatch(answer) or _LIST.fullmatch(answer)) is not None


EVALUATING: dict[str, Callable[[str], bool]] = {
    "countdown": _arithmetic,
    "puzzle24": _arithmetic,
    "polynomial_multiplication": _polynomial,
    "simple_integration": _expression,
    "intermediate_integration": _expression,
    "string_insertion": _data,
    "spiral_matrix": _data,
    "binary_matrix": _data,
    "n_queens": _data,
}
"""Tasks whose scorers evaluate the answer, and the form that it must have."""


def fault_of(task: str, answer: str) -> str:
    """Return why `answer` may not reach the scorer of `task`, or ''."""
    most = _MAX_EXPRESSION if task in EVALUATING else MAX_CHARACTERS
    if len(answer) > most:
        return f"an answer of more than {most:,} characters"
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\r\t" for c in answer):
        return "control characters in the answer"
    if task in EVALUATING and not EVALUATING[task](answer):
        return f"not in the form that {task} asks for"
    return ""
