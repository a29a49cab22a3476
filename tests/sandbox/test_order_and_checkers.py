"""Which case fails a program first, how early a run ends, and problems with several accepted answers."""

import os
import threading
import time

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission
from ringlite_cli.sandbox.order import CatchOrder

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(workers=2, seconds=10, isolation="none")) as opened:
        yield opened


def function(*cases, **more):
    listed = [{"args": list(args), "expected": expected} for *args, expected in cases]
    return {"mode": "function", "entry_point": "f", "cases": listed} | more


def stdin(*cases, **more):
    return {"mode": "stdin", "cases": [{"input": i, "output": o} for i, o in cases]} | more


def test_a_run_ends_at_its_first_wrong_answer(sandbox):
    program = "def f(a):\n    while a: pass\n    return 1"
    judged = sandbox.run(Submission(program, function((0, 1), (0, 2), (8, 1))))
    assert (judged.verdict, judged.failed_case) == ("wrong answer", 1)
    assert judged.cpu_seconds < 8  # the third case would take the 10 s of its limit


def test_the_test_that_caught_before_runs_first(sandbox):
    tests = stdin(("1", "1"), ("2", "2"), ("3", "3"))
    log = "import sys\nn = input()\nsys.stderr.write(n)\nprint(n if n != '3' else 'no')"
    first, second = (sandbox.run(Submission(log, tests)) for _ in range(2))
    assert (first.failed_case, second.failed_case) == (2, 2)
    assert second.cpu_seconds < first.cpu_seconds  # one run instead of three
    assert sandbox.run(Submission("print(input())", tests)).accepted


def test_a_reordered_case_keeps_its_number(sandbox):
    tests = function((1, 1), (2, 2), (3, 3))
    for _ in range(2):
        judged = sandbox.run(Submission("def f(a): return a if a < 3 else 0", tests))
        assert (judged.failed_case, judged.detail) == (2, "expected 3, got 0")
    judged = sandbox.run(Submission("def f(a): return a if a != 2 else 0", tests))
    assert (judged.failed_case, judged.detail) == (1, "expected 2, got 0")


def test_order_is_kept_per_problem():
    order = CatchOrder()
    one, other = function((1, 1), (2, 2)), function((1, 1), (2, 3))
    order.note(one, 1)
    assert (order.order(one), order.order(dict(one)), order.order(other)) == ([1, 0], [1, 0], [0, 1])


ANY_ROOT = "def check(given, expected, actual):\n    return abs(actual ** 2 - given[0]) < 1e-6"


@pytest.mark.parametrize(
    ("tests", "program", "verdict"),
    [
        (function((4, [1, 2]), checker="unordered"), "def f(a): return [2, 1]", "accepted"),
        (function((4, [1, 2]), checker="unordered"), "def f(a): return [2, 2]", "wrong answer"),
        (function((4, [1, 2])), "def f(a): return [2, 1]", "wrong answer"),
        (function((4, 0.5), tolerance=0.01), "def f(a): return 0.501", "accepted"),
        (function((4, 0.5)), "def f(a): return 0.501", "wrong answer"),
        (function((4, None), checker=ANY_ROOT), "def f(a): return -2", "accepted"),
        (function((4, None), (9, None), checker=ANY_ROOT), "def f(a): return -2", "wrong answer"),
        (function((4, None), checker=ANY_ROOT), "def f(a): return 'crashes the checker'", "wrong answer"),
        (function((4, 2), checker=ANY_ROOT), "def f(a): return 'crashes the checker'", "wrong answer"),
        (function((4, 2), checker="def check(given, expected, actual): return 1 / 0"), "def f(a): return 2",
         "sandbox error"),
        (function((4, None), checker="1 / 0\ndef check(given, expected, actual): return True"), "def f(a): return 2",
         "sandbox error"),
        (function((4, None), checker="def check(given, expected, actual) return True"), "def f(a): return 2",
         "sandbox error"),
        (function((4, None), checker="vibes"), "def f(a): return 2", "sandbox error"),
        ({"mode": "function", "entry_point": "f", "cases": [{"args": [1], "any_of": [2, 3]}]},
         "def f(a): return 3", "accepted"),
        (stdin(("", "1 2 3"), checker="tokens"), "print(1); print(2); print(3)", "accepted"),
        (stdin(("", "1 2 3")), "print(1); print(2); print(3)", "wrong answer"),
        (stdin(("", "b\na"), checker="unordered"), "print('a'); print('b')", "accepted"),
        (stdin(("6", ""), checker="def check(given, expected, actual):\n"
               "    a, b = map(int, actual.split())\n    return a * b == int(given)"), "print(2, 3)", "accepted"),
        ({"mode": "stdin", "cases": [{"input": "", "any_of": ["a", "b"]}]}, "print('b')", "accepted"),
    ],
)  # fmt: skip
def test_several_accepted_answers(sandbox, tests, program, verdict):
    judged = sandbox.run(Submission(program, tests))
    assert judged.verdict == verdict, judged


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.3])  # while its jail still starts, and while it runs
def test_cancelling_ends_what_runs_and_drops_what_waits(seconds):
    forever = Submission("while True: pass", function((1, 1)))
    with Sandbox(SandboxSettings(workers=1, seconds=60, isolation="none")) as sandbox:
        futures = [sandbox.submit(forever) for _ in range(3)]
        while not futures[0].running():
            time.sleep(0.01)
        time.sleep(seconds)
        sandbox.cancel(futures)
        judged = futures[0].result(40)  # by itself it would take 60 s
        assert (judged.verdict, judged.detail) == ("sandbox error", "cancelled")
        assert [f.cancelled() for f in futures[1:]] == [True, True]
        assert sandbox.run(Submission("def f(a): return a", function((1, 1)))).accepted


@pytest.mark.slow
def test_closing_does_not_wait_for_a_long_run():
    sandbox = Sandbox(SandboxSettings(workers=1, seconds=600, isolation="none"))
    future = sandbox.submit(Submission("while True: pass", function((1, 1))))
    time.sleep(1)
    closing = threading.Thread(target=sandbox.close)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()
    assert future.result(0).verdict == "sandbox error"
