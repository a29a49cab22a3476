"""Tests of code problems in the shapes that public data has, as ringlite's own.

own           {"mode", "language", ...}                                          as they are
lists         {"inputs": [...], "outputs": [...], "fn_name"?}                    APPS, TACO, rllm; also input, output
cases         [{"input", "output"}, ...], also stdin, stdout, expected           LiveCodeBench, PRIME, codeforces
functional    {"entry_point", "cases": [{"args", "expected"}, ...]}              also fn_name; or a list of such cases
assert lists  ["assert f(1) == 2", ...], {"test_list", "test_setup_code"?}       MBPP, AceCode
unit          {"test": "def check(candidate): ...", "entry_point"}, or a text    HumanEval
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.data.adapters.fields import BadRow

MAX_CASES = 64  # of a problem, in the order of the source; some have hundreds, and each is a run of every response

_INPUTS = ("inputs", "input", "stdin", "args", "arguments")
_OUTPUTS = ("outputs", "output", "expected_output", "expected", "stdout", "answer", "result")
_ENTRIES = ("entry_point", "fn_name", "func_name", "function_name", "fn")
_CASES = ("cases", "test_cases", "testcases", "tests", "examples")
_ASSERTS = ("test_list", "asserts", "assertions", "assert_case")
_SETUPS = ("test_setup_code", "setup_code", "setup", "test_imports")
_UNITS = ("test_code", "test", "unit_tests", "code")
_KNOWN = "inputs and outputs, a list of cases, entry_point with cases, a list of asserts, or test code"

_METHOD = re.compile(r"^\s*def (?!__)(\w+)\(", re.M)
_OF_THE_PROGRAM = re.compile(
    r"^from (?:solutions?|main|code|program|submission|answer|your_module|your_code) import [^\n(]+\n", re.M
)
"""An import of the program under test by a file's name: the tests run in one space with it."""

Tests = dict[str, Any]


def read_tests(value: Any, starter: str = "", entry: str | None = None) -> Tests | None:
    """Tests as ringlite's object, out of any known shape or JSON text of it; None where empty.

    starter: the code that a solution begins with; a class Solution in it makes a function one of its methods.
    entry: the function that the tests call, where the row names it beside them.
    Raises BadRow for a shape that is not known.
    """
    value = _parsed(value)
    if value is None or value == "" or value == [] or value == {}:
        return None
    if entry is None and isinstance(value, list) and _calls_a_function(value):
        named = _METHOD.findall(starter)
        entry = named[0] if len(named) == 1 else None
    tests = _as_tests(value, {_ENTRIES[0]: entry} if entry else {})
    if tests is None:
        what = f"an object with {', '.join(map(str, value))}" if isinstance(value, Mapping) else _named(value)
        raise BadRow(f"an unknown shape of tests: {what}; known are {_KNOWN}")
    if tests.get("mode") == "function" and "class Solution" in starter and "." not in str(tests["entry_point"]):
        tests = {**tests, "entry_point": f"Solution.{tests['entry_point']}"}
    return tests


def entry_beside(row: Mapping[str, Any]) -> str | None:
    """Return the function that a row's `metadata` says its tests call, or None."""
    return _first(_opened(row.get("metadata")), _ENTRIES)


def _parsed(value: Any) -> Any:
    """The value of JSON text; test code as it is."""
    if not isinstance(value, str) or not value.strip():
        return value if not isinstance(value, str) else None
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        if _is_test_code(value):
            return value
        raise BadRow(f"the tests are not JSON ({getattr(error, 'msg', error)})") from None


def _named(value: Any) -> str:
    if isinstance(value, list | tuple):
        first = value[0]
        inner = f"objects with {', '.join(map(str, first))}" if isinstance(first, Mapping) else type(first).__name__
        return f"a list of {inner}"
    return f"a {type(value).__name__}"


def _as_tests(value: Any, beside: Mapping[str, Any]) -> Tests | None:
    entry = _first(beside, _ENTRIES)
    if isinstance(value, str):
        return _unit([value], entry) if _is_test_code(value) else None
    if isinstance(value, list | tuple):
        return _of_list(value, beside)
    if not isinstance(value, Mapping):
        return None
    if "mode" in value:
        return dict(value)
    value = {**beside, **value}
    entry = _first(value, _ENTRIES)
    asserts = _first(value, _ASSERTS)
    if asserts is not None:
        setup = _first(value, _SETUPS)
        lines = asserts if isinstance(asserts, list | tuple) else [asserts]
        return _of_asserts(lines, setup)
    cases = _first(value, _CASES)
    if isinstance(cases, list | tuple) and cases:
        return _of_list(cases, value)
    code = _first(value, _UNITS)
    if isinstance(code, str) and _is_test_code(code):
        return _unit([code], str(entry) if entry else None)
    return _of_columns(value, str(entry) if entry else None)


def _of_list(cases: Sequence[Any], around: Mapping[str, Any]) -> Tests | None:
    """A list of cases or of asserts; `around` may name the function."""
    if all(isinstance(case, str) for case in cases):
        return _of_asserts(cases, _first(around, _SETUPS))
    if not all(isinstance(case, Mapping) for case in cases):
        return None
    asserts = [_first(case, _ASSERTS) for case in cases]
    if all(asserts):
        lines = [line for each in asserts for line in (each if isinstance(each, list) else [each])]
        return _of_asserts(lines, None)
    entry = _entry(cases, around)
    pairs = [_pair(case) for case in cases]
    if any(pair is None for pair in pairs):
        return None
    if not entry and (_calls_a_function(cases) or any("args" in case or "arguments" in case for case in cases)):
        raise BadRow("tests that call a function but do not name it (entry_point)")
    kept = [pair for pair in pairs if pair is not None]
    return function_tests(entry, kept) if entry else stdin_tests([i for i, _ in kept], [o for _, o in kept])


def _calls_a_function(cases: Sequence[Any]) -> bool:
    """Return whether a case says that it calls a function: LiveCodeBench's `testtype`."""
    return any(isinstance(case, Mapping) and case.get("testtype") == "functional" for case in cases)


def _entry(cases: Sequence[Mapping[str, Any]], around: Mapping[str, Any]) -> str | None:
    """The function that cases call, named by the object around them, by a case, or by a case's metadata."""
    places: list[Any] = [around, around.get("metadata"), cases[0], cases[0].get("metadata")]
    for place in map(_opened, places):
        if entry := _first(place, _ENTRIES):
            return str(entry)
    return None


def _opened(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


def _pair(case: Mapping[str, Any]) -> tuple[Any, Any] | None:
    given = next((name for name in _INPUTS if name in case), None)
    due = next((name for name in _OUTPUTS if name in case), None)
    return (case[given], case[due]) if given and due else None


def _of_columns(value: Mapping[str, Any], entry: str | None) -> Tests | None:
    """Inputs and outputs as two lists side by side."""
    pair = _pair(value)
    if pair is None:
        return None
    inputs, outputs = ([each] if isinstance(each, str) else each for each in pair)
    if not (isinstance(inputs, list | tuple) and isinstance(outputs, list | tuple)):
        return None
    if len(inputs) != len(outputs):
        raise BadRow(f"{len(inputs)} inputs, but {len(outputs)} outputs")
    if entry:
        return function_tests(entry, [(i, returned(o)) for i, o in zip(inputs, outputs, strict=True)])
    return stdin_tests(inputs, outputs)


def function_tests(entry: str, cases: Sequence[tuple[Any, Any]]) -> Tests | None:
    """Calls of a function. Inputs that are text hold a JSON value a line; one value that is no list is one argument."""
    calls = [{"args": _arguments(i), "expected": _value(o)} for i, o in cases[:MAX_CASES]]
    return {"mode": "function", "language": "python", "entry_point": entry, "cases": calls} if calls else None


def returned(value: Any) -> Any:
    """Return the expected value of a call, unwrapped: APPS and its relatives put it in a list of one."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def stdin_tests(inputs: Sequence[Any], outputs: Sequence[Any]) -> Tests | None:
    """Cases for a program that reads standard input; None where there are none. Raises BadRow for uneven lists."""
    if len(inputs) != len(outputs):
        raise BadRow(f"{len(inputs)} inputs, but {len(outputs)} outputs")
    cases = [{"input": _lines(i), "output": _lines(o)} for i, o in zip(inputs, outputs, strict=True)][:MAX_CASES]
    return {"mode": "stdin", "language": "python", "cases": cases} if cases else None


def _arguments(value: Any) -> list[Any]:
    if isinstance(value, str):
        lines = [line for line in value.splitlines() if line.strip()]
        values = [_value(line) for line in lines]
        return values if values else [value]
    return list(value) if isinstance(value, list | tuple) else [value]


def _value(value: Any) -> Any:
    """The JSON value that a text spells; the text itself where it spells none."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _of_asserts(lines: Sequence[Any], setup: Any) -> Tests | None:
    before = setup if isinstance(setup, list | tuple) else [setup] if isinstance(setup, str) else []
    parts = [*(str(line) for line in before), *(str(line) for line in lines)]
    return _unit(parts) if parts and _is_test_code("\n".join(parts)) else None


def _unit(parts: Sequence[str], entry: str | None = None) -> Tests:
    code = "\n".join(part.strip("\n") for part in parts if part.strip()).strip() + "\n"
    code = _OF_THE_PROGRAM.sub("", code)
    tests = {"mode": "unit", "language": "python", "code": code}
    if entry is None:
        return tests
    if "def check(" in code and f"check({entry})" not in code:
        tests["code"] = f"{code.strip()}\n\ncheck({entry})\n"
    return {**tests, "entry_point": entry}


def _is_test_code(code: str) -> bool:
    """Python that asserts something."""
    if "assert" not in code:
        return False
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _first(value: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _lines(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)
