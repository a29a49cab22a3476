"""Mends the tests of a code problem where only some cases are at fault (PAPER §2: faulty tests go, not the problem)."""

import re
from collections.abc import Mapping
from typing import Any

from ringlite_cli.data.rules.code import has_ellipsis
from ringlite_cli.problems import Problem

MENDABLE = ("tests_stray_space", "tests_truncated")
_LINE_END = re.compile(r"[ \t]*\r?\n|[ \t]+\Z")


def mended_tests(problem: Problem) -> dict[str, Any] | None:
    """The tests without truncated cases, and with line ends as a program prints them; None where no case is left."""
    tests = problem.tests or {}
    cases = tests.get("cases")
    if tests.get("mode") not in ("stdin", "function") or not isinstance(cases, list):
        return None
    whole = [_mended(case) for case in cases if not has_ellipsis(case)]
    return {**tests, "cases": whole} if whole else None


def _mended(case: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _tidy(value) if key in ("input", "output") else value for key, value in case.items()}


def _tidy(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    return _LINE_END.sub(lambda m: "\n" if "\n" in m[0] else "", text.replace("\r\n", "\n")).lstrip("\n")
