"""Answers that would break whoever compares them: each is a wrong answer, and never the sandbox's own failure."""

import math
import os
from fractions import Fraction

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission
from ringlite_cli.sandbox.judge import value_comparison
from ringlite_cli.sandbox.values import Members, decode

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")

WRITTEN = (
    "import os\nfor n in range(3, 64):\n try: os.write(n, {line!r})\n except OSError: pass\ndef f(): return None\n"
)
ANSWERS = {
    "an integer too long to print": ("def f(): return 10**5000", 5),
    "a list of them": ("def f(): return [10**5000]", [5]),
    "an integer no float holds": ("def f(): return 10**400", 0.5),
    "a huge decimal": ("from decimal import Decimal\ndef f(): return Decimal('1e999999999')", 5),
    "a signalling NaN": ("from decimal import Decimal\ndef f(): return Decimal('sNaN')", 5),
    "a fraction of 10^9 digits": (WRITTEN.format(line=b'{"~":"Fraction","v":"1e999999999"}\n'), 0.5),
    "what no set can hold": (WRITTEN.format(line=b'{"~":"set","v":[[1]]}\n'), 0.5),
    "a tag that is none": (WRITTEN.format(line=b'{"~":["set"]}\n'), 0.5),
    "a deep list": (WRITTEN.format(line=b"[" * 100_000 + b"]" * 100_000 + b"\n"), [1]),
    "no JSON": (WRITTEN.format(line=b"\xff\xfe\n"), 1),
    "a surrogate": ("def f(): return '\\ud800'", "x"),
    "a longer file of answers": (
        "import os\nfor n in range(3, 64):\n try: os.ftruncate(n, 1 << 20)\n except OSError: pass\ndef f(): return 1",
        2,
    ),
}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(workers=1, seconds=2, isolation="none")) as opened:
        yield opened


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_is_a_wrong_one(sandbox, name):
    program, expected = ANSWERS[name]
    tests = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": expected}]}
    judged = sandbox.run(Submission(program, tests))
    assert judged.verdict in ("wrong answer", "runtime error"), judged


def test_an_answer_that_breaks_the_checker_is_a_wrong_one(sandbox):
    square = "def check(given, expected, actual):\n    return actual ** 2 == given[0]"
    tests = {"mode": "function", "entry_point": "f", "cases": [{"args": [4], "expected": 2}], "checker": square}
    assert sandbox.run(Submission("def f(a): return -2", tests)).accepted
    assert sandbox.run(Submission("def f(a): return 'two'", tests)).verdict == "wrong answer"
    broken = tests | {"checker": "def check(given, expected, actual):\n    return given[7]"}
    assert sandbox.run(Submission("def f(a): return -2", broken)).verdict == "sandbox error"


def test_answers_whose_hashes_collide_are_not_hashed(sandbox):
    """As Python sets they would take the square of their number, in this process and under its GIL: minutes."""
    assert type(decode({"~": "set", "v": [1, 1]})) is type(decode({"~": "frozenset", "v": []})) is Members
    assert decode({"~": "dict", "v": [[2**61 - 1, 0], [{"~": "tuple", "v": [-1, -2]}, 0]]}).keys() == {
        "2305843009213693951",
        "(-1, -2)",
    }
    one_hash = b",".join(b"%d" % (n * (2**61 - 1)) for n in range(1, 100_000))
    for tag, members in (("set", one_hash), ("dict", one_hash.replace(b",", b",1],[").join((b"[", b",1]")))):
        line = b'{"~":"%s","v":[%s]}\n' % (tag.encode(), members)
        tests = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": [1]}]}
        assert sandbox.run(Submission(WRITTEN.format(line=line), tests)).verdict == "wrong answer"


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ([2, 1, 1], [1, 2, 1], True),
        ([2, 1, 1], [1, 2, 2], False),
        ([1, 2], {2, 1}, True),
        ([1, 2, 3], {2, 1}, False),
        ([[1, "a"], [2.5]], [[2.5 + 1e-9], [True, "a"]], True),
        ([{"a": [1]}, {"b": 2}], [{"b": 2}, {"a": (1,)}], True),
        ([0.5, None, "x"], ["x", 0.5, None], True),
        ([[1, 2], [3]], [[2, 1], [3]], False),
        ([math.nan, 1], [1, math.nan], True),
        ([3], [Fraction(3)], True),
        ([], [], True),
        (3, 3, True),
    ],
)
def test_in_any_order(expected, actual, same):
    compare = value_comparison({"checker": "unordered"})
    assert compare
    assert compare(expected, actual) is same


@pytest.mark.slow
def test_many_members_in_any_order():
    compare = value_comparison({"checker": "unordered"})
    assert compare
    many = list(range(50_000))
    assert compare(many, set(many))
    assert not compare(many, {*many[1:], -1})
    assert compare([n + 0.5 for n in many], [n + 0.5 + 1e-9 for n in reversed(many)])
    assert not compare([n + 0.5 for n in many], {n + 0.25 for n in many})
    assert compare([[n, [n]] for n in many], [[n, [n]] for n in reversed(many)])


def test_linked_nodes_answer_as_lists(sandbox):
    program = "class Solution:\n def make(self, a): return list_node(a)\n def tree(self, a): return tree_node(a)"
    for entry, value in (("make", [1, 2]), ("tree", [1, None, 2])):
        cases = [{"args": [value], "expected": value}]
        assert sandbox.run(Submission(program, {"mode": "function", "entry_point": entry, "cases": cases})).accepted
