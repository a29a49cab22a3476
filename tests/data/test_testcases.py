"""Tests of code problems, in the shapes of public data."""

import json
from typing import Any

import pytest

from ringlite_cli.data.adapters.columns import mapped
from ringlite_cli.data.adapters.fields import BadRow
from ringlite_cli.data.adapters.testcases import read_tests as as_tests

STDIN = {"mode": "stdin", "language": "python", "cases": [{"input": "3\n", "output": "4\n"}]}
CALL = {"mode": "function", "language": "python", "entry_point": "f", "cases": [{"args": [3, [1]], "expected": 4}]}
UNIT = {"mode": "unit", "language": "python", "code": "assert f(3) == 4\nassert f(0) == 1\n"}


@pytest.mark.parametrize(
    "given",
    [
        STDIN,
        {"inputs": ["3\n"], "outputs": ["4\n"]},
        {"input": ["3\n"], "output": ["4\n"]},
        {"stdin": "3\n", "expected": "4\n"},
        [{"input": "3\n", "output": "4\n"}],
        [{"stdin": "3\n", "expected_output": "4\n"}],
        [{"stdin": "3\n", "stdout": "4\n"}],
        [{"type": "stdin_stdout", "input": "3\n", "output": "4\n"}],
        [{"input": "3\n", "output": "4\n", "testtype": "stdin"}],
        {"test_cases": [{"input": "3\n", "output": "4\n"}]},
        {"tests": [{"input": "3\n", "expected": "4\n"}], "time_limit": 2},
    ],
)
def test_programs_that_read_standard_input(given: Any) -> None:
    assert as_tests(given) == STDIN
    assert as_tests(json.dumps(given)) == STDIN


@pytest.mark.parametrize(
    "given",
    [
        CALL,
        {"fn_name": "f", "inputs": [[3, [1]]], "outputs": [[4]]},
        {"fn_name": "f", "inputs": ["3\n[1]"], "outputs": ["4"]},
        {"entry_point": "f", "cases": [{"args": [3, [1]], "expected": 4}]},
        [{"fn_name": "f", "type": "function_call", "input": [3, [1]], "output": 4}],
        [{"input": "3\n[1]", "output": "4", "testtype": "functional", "metadata": {"func_name": "f"}}],
        {"test_cases": [{"args": [3, [1]], "result": 4}], "metadata": '{"func_name": "f"}'},
    ],
)
def test_calls_of_a_function(given: Any) -> None:
    assert as_tests(given) == CALL


def test_a_method_of_a_class_and_a_name_in_a_column_beside() -> None:
    starter = "class Solution:\n    def f(self, n, x):\n"
    tests = as_tests({"inputs": ["3\n[1]"], "outputs": ["4"]}, starter, "f")
    assert tests == CALL | {"entry_point": "Solution.f"}


@pytest.mark.parametrize(
    "given",
    [
        ["assert f(3) == 4", "assert f(0) == 1"],
        {"test_list": ["assert f(3) == 4", "assert f(0) == 1"]},
        [{"assert_case": "assert f(3) == 4"}, {"assert_case": "assert f(0) == 1"}],
        {"test_code": "assert f(3) == 4\nassert f(0) == 1"},
    ],
)
def test_lists_of_asserts(given: Any) -> None:
    assert as_tests(given) == UNIT
    assert as_tests(json.dumps(given)) == UNIT


def test_test_code_as_text_with_its_setup_or_its_function() -> None:
    assert as_tests("assert f(3) == 4\nassert f(0) == 1") == UNIT
    with_setup = as_tests({"test_list": ["assert f(0) == pi"], "test_setup_code": "from math import pi"})
    assert with_setup == UNIT | {"code": "from math import pi\nassert f(0) == pi\n"}
    human = as_tests({"test": "def check(candidate):\n    assert candidate(3) == 4\n", "entry_point": "f"})
    assert human is not None
    assert human["code"].endswith("assert candidate(3) == 4\n\ncheck(f)\n")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"check": 3}, "unknown shape of tests: an object with check"),
        ([3, 4], "a list of int"),
        ([{"in": "3"}], "a list of objects with in"),
        (3, "a int"),
        ("{broken", "the tests are not JSON"),
        ({"inputs": ["1", "2"], "outputs": ["1"]}, "2 inputs, but 1 outputs"),
        ([{"args": [3], "expected": 4}], "do not name it"),
        (["f(3)"], "a list of str"),
    ],
)
def test_other_shapes_are_refused_by_what_they_hold(given: Any, says: str) -> None:
    with pytest.raises(BadRow, match=says):
        as_tests(given)


@pytest.mark.parametrize("given", [None, "", " ", [], {}])
def test_no_tests(given: Any) -> None:
    assert as_tests(given) is None


PROGRAM = "n = int(input())\nprint(n + 1)"
BLOCK = f"```python\n{PROGRAM}\n```"


@pytest.mark.parametrize(
    ("row", "trace", "others"),
    [
        ({"s": PROGRAM}, BLOCK, None),
        ({"s": f"Add one.\n{BLOCK}"}, f"Add one.\n{BLOCK}", None),
        ({"s": [PROGRAM, "print(4)"]}, BLOCK, ["```python\nprint(4)\n```"]),
        ({"s": json.dumps([PROGRAM])}, BLOCK, None),
        ({"s": None}, None, None),
    ],
)
def test_accepted_solutions_come_as_programs_or_responses(row: dict[str, Any], trace: str, others: Any) -> None:
    fields = mapped({"prompt": "q", "tests": "t", "trace": "s"})({"q": "Add one.", "t": STDIN, **row})
    assert fields["trace"] == trace
    assert fields["labels"].get("other_solutions") == others


def test_solutions_that_no_mapping_names_prove_the_tests() -> None:
    row = {"q": "Add one.", "t": {"inputs": ["3\n"], "outputs": ["4\n"]}, "solutions": [PROGRAM]}
    assert mapped({"prompt": "q", "tests": "t"})(row)["trace"] == BLOCK


@pytest.mark.parametrize("name", ["solution", "main"])
def test_tests_that_import_the_program_under_test(name: str) -> None:
    tests = as_tests(f"import math\nfrom {name} import f, g\n\ndef test_f():\n    assert f(3) == math.floor(4.5)\n")
    assert tests is not None
    assert tests["code"] == "import math\n\ndef test_f():\n    assert f(3) == math.floor(4.5)\n"
