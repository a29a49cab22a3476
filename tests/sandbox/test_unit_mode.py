"""Mode unit: the tests' text alone decides what is asked of a program; objects of a right program behave as such."""

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission

FORGED = {
    "module of the tests": (
        "class math:\n isclose = lambda *a: True\ndef f(): return 0",
        "assert math.isclose(f(), 3)",
    ),
    "exception for text": ("class show(Exception): pass", "assert str(show('7')) == 'seven'"),
    "built-in handed over": ("def f(run): return run('__import__(\"os\").getpid()') == 1", "assert f(eval) == 5"),
    "helper of LeetCode": (
        "is_same_list = lambda a, b: True\nclass\tSolution:\n def f(self, a): return 0",
        "def check(candidate):\n assert is_same_list(candidate(list_node([1])), list_node([1]))\ncheck(Solution().f)",
    ),
    "names that are nobody's own": ("class Solution: pass", "assert lcm(4, 6) == 12"),
    "class by its name": (
        "class N:\n __lt__ = __gt__ = lambda s, o: True\nclass A:\n def __call__(s): return N()\nA.__name__ = 'class'\n"
        "class Circle:\n def __init__(s, r): s.area = A()",
        "assert 78 < Circle(5).area() < 79",
    ),
}
RIGHT = {
    "named argument": ("def f(a): a[0].append(1)", "x = [[0]]\ny = x[0]\nf(a=x)\nassert y == [0, 1]"),
    "exception with data": (
        "class Full(Exception):\n def __init__(s, n): super().__init__('full'); s.n = n\ndef f(): raise Full(3)",
        "try:\n f()\n assert False\nexcept Full as e:\n assert e.n == 3 and str(e) == 'full'",
    ),
    "key error": ("def f(): raise KeyError('a')", "try: f()\nexcept KeyError as e: assert e.args == ('a',)"),
    "array": ("import numpy as np\ndef f(): return np.arange(3)", "assert f().sum() == 3 and list(f()) == [0, 1, 2]"),
    "generator": ("def f():\n while True: yield 2", "g = f()\nassert [next(g), next(g)] == [2, 2]"),
}


@pytest.fixture(scope="module")
def sandbox():  # type: ignore[no-untyped-def]
    with Sandbox(SandboxSettings(workers=1)) as opened:
        yield opened


def verdict(sandbox: Sandbox, program: str, code: str) -> str:
    tests = {"mode": "unit", "language": "python", "code": code}
    return sandbox.submit(Submission(program, tests)).result().verdict


@pytest.mark.parametrize("name", FORGED)
def test_a_program_does_not_choose_what_its_tests_call(sandbox: Sandbox, name: str) -> None:
    assert verdict(sandbox, *FORGED[name]) in ("wrong answer", "runtime error")


@pytest.mark.parametrize("name", RIGHT)
def test_objects_of_a_right_program_behave_as_in_one_process(sandbox: Sandbox, name: str) -> None:
    assert verdict(sandbox, *RIGHT[name]) == "accepted"
