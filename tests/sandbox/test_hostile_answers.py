"""Answers that would break whoever compares them: each is a wrong answer, and never the sandbox's own failure."""

import os
import time

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission
from ringlite_cli.sandbox.judge import same_value

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


def test_large_sets_are_compared_in_no_time():
    many = list(range(50_000))
    started = time.monotonic()
    assert same_value(many, set(many))
    assert not same_value(many, {*many[1:], -1})
    assert same_value([n + 0.5 for n in many], {n + 0.5 for n in many})
    assert not same_value([n + 0.5 for n in many], {n + 0.25 for n in many})
    assert time.monotonic() - started < 3
