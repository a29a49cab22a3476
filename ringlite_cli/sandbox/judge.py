"""Compares what a program answered with what was expected, as online judges do. Pure functions, on the host's side."""

import fractions
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ringlite_cli.sandbox.values import Members, same_members, text_key

RELATIVE, ABSOLUTE = 1e-6, 1e-9
_OF_AN_INTEGER = 1e-6
_EXACT_PLACES = 3  # up to here a decimal is taken to be exact: money, a version
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
Comparison = Callable[[Any, Any], bool]
CHECKERS = ("tokens", "unordered")


def accepted_answers(case: Mapping[str, Any]) -> list[Any]:
    """The answers that a case accepts: `any_of`, else its one `expected` or `output`. Raises KeyError without any."""
    if "any_of" in case:
        answers = list(case["any_of"])
        if not answers:
            raise KeyError("any_of is empty")
        return answers
    return [case["expected"] if "expected" in case else case["output"]]


def brings_checker(tests: Mapping[str, Any]) -> bool:
    """Return whether `checker` is a program of the tests' author: `def check(given, expected, actual)`.

    Raises ValueError for a checker that is neither that nor one of CHECKERS.
    """
    checker = tests.get("checker")
    if checker in (None, "", *CHECKERS):
        return False
    if isinstance(checker, str) and "def check(" in checker:
        return True
    raise ValueError(f"checker {str(checker)[:40]!r} is not one of {', '.join(CHECKERS)} and defines no check()")


def value_comparison(tests: Mapping[str, Any]) -> Comparison | None:
    """How returned values are compared; None where the tests bring a checker. `tolerance` is relative and absolute."""
    if brings_checker(tests):
        return None
    tolerance = _tolerance(tests)
    if tests.get("checker") == "unordered":
        return lambda expected, actual: _same_in_any_order(expected, actual, tolerance)
    return lambda expected, actual: same_value(expected, actual, tolerance)


def output_comparison(tests: Mapping[str, Any]) -> Comparison | None:
    """How outputs are compared: by line, by token, or as lines in any order; None where the tests bring a checker."""
    if brings_checker(tests):
        return None
    tolerance, checker = _token_tolerance(tests), tests.get("checker")
    if checker == "tokens":
        return lambda expected, actual: _same_line(expected, actual, tolerance)
    if checker == "unordered":
        return lambda expected, actual: same_output(_sorted_lines(expected), _sorted_lines(actual), tolerance)
    return lambda expected, actual: same_output(expected, actual, tolerance)


def _tolerance(tests: Mapping[str, Any]) -> float:
    return float(tests.get("tolerance") or RELATIVE)


def _token_tolerance(tests: Mapping[str, Any]) -> float | None:
    return float(tests["tolerance"]) if tests.get("tolerance") else None


def _same_in_any_order(expected: Any, actual: Any, tolerance: float) -> bool:
    many = list | tuple | set | frozenset
    if not isinstance(expected, many) or not isinstance(actual, many):
        return same_value(expected, actual, tolerance)
    return len(expected) == len(actual) and same_members(
        expected, actual, lambda one, other: same_value(one, other, tolerance)
    )


def _sorted_lines(text: str) -> str:
    return "\n".join(sorted(_lines(text)))


def same_output(expected: str, actual: str, tolerance: float | None = None) -> bool:
    """Whether two outputs agree: white space at line ends and blank lines at the end aside, numbers in tolerance.

    Without a tolerance of the tests, an integer is that integer, and a number with a point has a millionth, relative,
    but never as much as its last digit shows where it has few: 1234567.89 is not 1234567.00, nor 1.10 the version 1.1.
    """
    if expected.rstrip() == actual.rstrip():
        return True
    want, got = _lines(expected), _lines(actual)
    if want == got:
        return True
    return len(want) == len(got) and all(_same_line(a, b, tolerance) for a, b in zip(want, got, strict=True))


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_line(expected: str, actual: str, tolerance: float | None) -> bool:
    want, got = expected.split(), actual.split()
    return len(want) == len(got) and all(_same_token(a, b, tolerance) for a, b in zip(want, got, strict=True))


def _same_token(expected: str, actual: str, tolerance: float | None) -> bool:
    if expected == actual:
        return True
    if not _NUMBER.fullmatch(expected) or not _NUMBER.fullmatch(actual):
        return False
    if tolerance is not None:
        return _close(float(expected), float(actual), tolerance)
    if not any(c in expected for c in ".eE"):  # an integer must be that integer
        return False
    places = _places(expected)
    if places and not expected.partition(".")[2].strip("0") and "." not in actual:
        return float(expected) == float(actual)  # 2.0 and 2
    if places is None or places > _EXACT_PLACES:
        return _close(float(expected), float(actual), RELATIVE)
    if places == _places(actual):  # as many digits: the last may be rounded otherwise only where it is beyond 1e-6
        return float(expected) == float(actual) or _close_digits(expected, actual, places)
    return (_places(actual) or 0) > places and _close_digits(expected, actual, places)


def _places(token: str) -> int | None:
    """Digits after the point; None in scientific notation."""
    return None if "e" in token.lower() else len(token.partition(".")[2])


def _close_digits(expected: str, actual: str, places: int) -> bool:
    """Within a millionth, and within half of what the last digit shows."""
    one, other = float(expected), float(actual)
    return _close(one, other, RELATIVE) and abs(one - other) <= 0.5 * 10.0**-places


def _close(expected: float, actual: float, tolerance: float) -> bool:
    absolute = ABSOLUTE if tolerance == RELATIVE else tolerance
    return expected == actual or math.isclose(expected, actual, rel_tol=tolerance, abs_tol=absolute)


def same_value(expected: Any, actual: Any, tolerance: float = RELATIVE) -> bool:
    """Return whether a returned value is the expected one.

    `expected` comes from JSON, so a tuple equals a list of the same items and a dict's keys are compared as text. A set
    equals a set, never a list: a program asked for a sorted list would be spared the sorting (`checker: unordered`
    takes sets). Floats within `tolerance`, relative; where an integer is expected, within a millionth of it, unless the
    tests give a tolerance. NaN equals NaN.
    """
    sets = Members | set | frozenset
    if isinstance(expected, sets) or isinstance(actual, sets):
        both = isinstance(expected, sets) and isinstance(actual, sets)
        return both and _same_in_any_order(expected, actual, tolerance)
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        return len(expected) == len(actual) and all(
            same_value(e, a, tolerance) for e, a in zip(expected, actual, strict=True)
        )
    if isinstance(expected, dict) and isinstance(actual, dict):
        want, got = _text_keys(expected), _text_keys(actual)
        return want.keys() == got.keys() and all(same_value(v, got[k], tolerance) for k, v in want.items())
    if isinstance(expected, float) and isinstance(actual, int | float) and not isinstance(actual, bool):
        return (math.isnan(expected) and math.isnan(actual)) or _close(expected, actual, tolerance)
    if isinstance(expected, int) and isinstance(actual, float):
        if tolerance == RELATIVE:
            return math.isfinite(actual) and abs(fractions.Fraction(actual) - expected) <= _OF_AN_INTEGER
        return _close(expected, actual, tolerance)
    return (type(expected) is type(actual) and bool(expected == actual)) or _same_kin(expected, actual)


def _text_keys(value: dict[Any, Any]) -> dict[str, Any]:
    return {text_key(k): v for k, v in value.items()}


def _same_kin(expected: Any, actual: Any) -> bool:
    """Equal values of related types: bool and int, Fraction and int; never text and a number."""
    return not isinstance(expected, str) and not isinstance(actual, str) and bool(expected == actual)
