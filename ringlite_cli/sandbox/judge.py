"""Compares what a program answered with what was expected, as online judges do. Pure functions, on the host's side."""

import math
from collections.abc import Iterable
from typing import Any

RELATIVE, ABSOLUTE = 1e-6, 1e-9


def same_output(expected: str, actual: str) -> bool:
    """Whether two outputs agree: white space at line ends and blank lines at the end aside, numbers within 1e-6."""
    if expected.rstrip() == actual.rstrip():
        return True
    want, got = _lines(expected), _lines(actual)
    if want == got:
        return True
    return len(want) == len(got) and all(_same_line(a, b) for a, b in zip(want, got, strict=True))


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_line(expected: str, actual: str) -> bool:
    want, got = expected.split(), actual.split()
    return len(want) == len(got) and all(_same_token(a, b) for a, b in zip(want, got, strict=True))


def _same_token(expected: str, actual: str) -> bool:
    if expected == actual:
        return True
    if not any(c in expected for c in ".eE"):  # an integer must be that integer
        return False
    try:
        return _close(float(expected), float(actual))
    except ValueError:
        return False


def _close(expected: float, actual: float) -> bool:
    return expected == actual or math.isclose(expected, actual, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def same_value(expected: Any, actual: Any) -> bool:
    """Whether a returned value is the expected one.

    `expected` comes from JSON, so a tuple equals a list of the same items, a set a list in any order, and a dict's
    keys are compared as text. Floats within 1e-6 relative; NaN equals NaN.
    """
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        return len(expected) == len(actual) and all(map(same_value, expected, actual))
    if isinstance(expected, dict) and isinstance(actual, dict):
        want, got = _text_keys(expected), _text_keys(actual)
        return want.keys() == got.keys() and all(same_value(v, got[k]) for k, v in want.items())
    if isinstance(actual, set | frozenset) and isinstance(expected, list | tuple | set | frozenset):
        return len(actual) == len(expected) and _same_members(expected, actual)
    if isinstance(expected, float) and isinstance(actual, int | float) and not isinstance(actual, bool):
        return (math.isnan(expected) and math.isnan(actual)) or _close(expected, actual)
    if isinstance(expected, int) and isinstance(actual, float):
        return _close(expected, actual)
    return (type(expected) is type(actual) and bool(expected == actual)) or _same_kin(expected, actual)


def _text_keys(value: dict[Any, Any]) -> dict[str, Any]:
    return {k if isinstance(k, str) else str(k): v for k, v in value.items()}


def _same_kin(expected: Any, actual: Any) -> bool:
    """Equal values of related types: bool and int, Fraction and int; never text and a number."""
    return not isinstance(expected, str) and not isinstance(actual, str) and bool(expected == actual)


def _same_members(expected: Iterable[Any], actual: Iterable[Any]) -> bool:
    left = list(actual)
    for want in expected:
        match = next((i for i, got in enumerate(left) if same_value(want, got)), None)
        if match is None:
            return False
        del left[match]
    return not left
