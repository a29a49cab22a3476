"""Cleansing of code problems (PAPER §2): tests that are absent, malformed or truncated, and no accepted solution.

Whether the accepted solution passes the tests is asked of the sandbox, after these.
"""

import ast
import re
import warnings
from collections.abc import Mapping
from typing import Any

from ringlite_cli.data.rules.registry import Family
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem

CODE = Family("code", [])

MODES = ("function", "stdin", "unit")
_ELLIPSIS = re.compile(r"\.\.\.|…|\[truncated\]|<truncated>", re.I)


@CODE.rule
def missing_tests(problem: Problem) -> str | None:
    """No tests, or no test cases in them."""
    if not writes_code(problem.domain):
        return None
    tests = problem.tests or {}
    return None if tests.get("code") or tests.get("cases") else "missing_tests"


@CODE.rule
def malformed_tests(problem: Problem) -> str | None:
    """An unknown mode, cases without input or expected output, no entry point, or test code that is not Python."""
    if not writes_code(problem.domain) or not problem.tests:
        return None
    tests = problem.tests
    if tests.get("mode") not in MODES:
        return "tests_malformed"
    if tests["mode"] == "unit":
        return None if _parses(str(tests.get("code") or "")) else "tests_malformed"
    cases = tests.get("cases")
    if not isinstance(cases, list) or (tests["mode"] == "function" and not tests.get("entry_point")):
        return "tests_malformed"
    return None if all(_whole(case, tests["mode"]) for case in cases) else "tests_malformed"


@CODE.rule
def truncated_tests(problem: Problem) -> str | None:
    """An ellipsis where data should be: the input or the expected output was cut off."""
    if not writes_code(problem.domain) or not problem.tests:
        return None
    tests = problem.tests
    if tests["mode"] == "unit":
        return "tests_truncated" if _has_ellipsis(str(tests["code"])) else None
    return "tests_truncated" if any(map(has_ellipsis, tests["cases"])) else None


@CODE.rule
def stray_space(problem: Problem) -> str | None:
    """Carriage returns, tabs or spaces at line ends, or blank lines before the input of a stdin test."""
    if not writes_code(problem.domain) or not problem.tests or problem.tests["mode"] != "stdin":
        return None
    stray = any(
        re.search(r"\r|[ \t]+$|\A\s*\n", text, re.M) for case in problem.tests["cases"] for text in _texts(case)
    )
    return "tests_stray_space" if stray else None


@CODE.rule
def no_solution(problem: Problem) -> str | None:
    """No accepted solution to run against the tests."""
    return "no_accepted_solution" if writes_code(problem.domain) and not problem.trace else None


def has_ellipsis(case: Mapping[str, Any]) -> bool:
    """Whether the input or the expected output of a case was cut off."""
    return any(_ELLIPSIS.search(text) for text in _texts(case))


def _whole(case: Any, mode: str) -> bool:
    if not isinstance(case, Mapping):
        return False
    if mode == "function":
        return isinstance(case.get("args"), list) and "expected" in case
    return isinstance(case.get("input"), str) and isinstance(case.get("output", case.get("expected")), str)


def _texts(case: Mapping[str, Any]) -> list[str]:
    values = [*case.get("args", ()), *(case.get(k) for k in ("input", "output", "expected"))]
    return [v for v in values if isinstance(v, str)]


def _parse(code: str) -> ast.AST | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _parses(code: str) -> bool:
    return bool(code.strip()) and _parse(code) is not None


def _has_ellipsis(code: str) -> bool:
    """An ellipsis literal among the data of a test, as in `[1, 2, ...]`."""
    if "..." not in code:
        return False
    tree = _parse(code)
    return tree is not None and any(isinstance(n, ast.Constant) and n.value is Ellipsis for n in ast.walk(tree))
