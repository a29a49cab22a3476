"""Mode unit in Python: the tests decide what they may call, and a program passes only by doing what they ask."""

import os

import pytest

from ringlite_cli.data.adapters import ADAPTERS
from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(workers=1, seconds=3, isolation="none", packages=("sortedcontainers", "numpy"))) as s:
        yield s


def judge(sandbox, program, code):
    return sandbox.run(Submission(program, {"mode": "unit", "code": code}))


LISTS = """def check(candidate):
    assert is_same_list(candidate(head=list_node([1, 2, 3])), list_node([3, 2, 1]))

check(Solution().reverseList)
"""
EQUALS_ALL = """
class Yes:
    def __eq__(s, o): return True
    def __lt__(s, o): return True
    def __sub__(s, o): return 0
    __gt__ = __le__ = __ge__ = __contains__ = __rsub__ = __lt__
    def __abs__(s): return 0
    def __bool__(s): return True
"""
FORGED = {
    "Solution written so that a search for the words misses it": (
        "list_node, is_same_list = list, lambda a, b: True\n"
        "class\tSolution:\n    def reverseList(self, head): return head",
        LISTS,
    ),
    "Solution bound by an assignment": (
        "list_node, is_same_list = list, lambda a, b: True\n"
        "Solution = type('S', (), {'reverseList': lambda self, head: head})",
        LISTS,
    ),
    "Solution hidden until it is asked for": (
        "is_same_list = lambda a, b: True\nlist_node = list\n"
        "globals()['Sol' + 'ution'] = type('S', (), {'reverseList': lambda self, head: None})",
        LISTS,
    ),
    "words in a comment that bring the judge's names in": (
        "# class Solution\ndef comb(n, k): return -1",
        "assert comb(5, 2) == 10",
    ),
    "words in a string": ("'class Solution'\ndef isqrt(n): return -1", "assert isqrt(10) == 3"),
    "a value whose type is called class": (
        EQUALS_ALL + "class Made:\n    def __call__(self): return Yes()\n"
        "Made.__name__ = Made.__qualname__ = 'class'\nclass Square:\n    def __init__(self, side): "
        "self.side = Made()",
        "assert abs(Square(3).side() - 9) < 0.1",
    ),
    "a metaclass called class": (
        EQUALS_ALL + "class M(type): pass\nM.__name__ = 'class'\n"
        "class Square(metaclass=M):\n    def __init__(self, side): pass\n    def area(self): "
        "return Yes()",
        "assert abs(Square(3).area() - 9) < 0.1",
    ),
    "the function is a class": (EQUALS_ALL + "f = Yes\nYes.__init__ = lambda s, a: None", "assert f(2) == 4"),
    "exit handed over": ("def f(stop): stop(0)", "import os\nf(os._exit and exit)\nassert False"),
    "an exit of the tests' own function": (
        "def f(done):\n    try: done()\n    except BaseException: pass",
        "import sys\ndef done(): sys.exit(0)\nf(done)\nassert False",
    ),
    "an interrupt through the tests' own function": (
        "def f(done): done()",
        "def done(): raise KeyboardInterrupt\nf(done)\nassert False",
    ),
    "output in place of an answer": ("def f(): print('ok'); return 'no'", "assert f() == 'ok'"),
    "printing nothing": (
        "def f(): pass",
        "import io, contextlib\nb = io.StringIO()\nwith contextlib.redirect_stdout(b): f()\nassert "
        "b.getvalue() == 'a\\n'",
    ),
    "isinstance answered by the class's own hook": (
        "class M(type):\n    def __instancecheck__(c, o): return True\nclass Shape(metaclass=M): "
        "pass\ndef make(): return 7",
        "assert isinstance(make(), Shape)",
    ),
    "an argument that is not changed": (
        "def f(nums): nums = sorted(nums)",
        "a = [2, 1]\nf(nums=a)\nassert a == [1, 2]",
    ),
    "an array that is another": ("import numpy\ndef f(): return numpy.array([1, 2])", "assert f() == [1, 3]"),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_does_not_do_it_does_not_pass(sandbox, name):
    judged = judge(sandbox, *FORGED[name])
    assert judged.verdict in ("wrong answer", "runtime error"), judged


MONEY = """
class Money:
    def __init__(self, cents): self.cents = cents
    def __eq__(self, other): return self.cents == other.cents
    def __hash__(self): return hash(self.cents)
    def __bool__(self): return self.cents != 0
    def __repr__(self): return f"Money({self.cents})"
    def spend(self, *, cents): self.cents -= cents
    @property
    def copy(self): return Money(self.cents)
class Coin(Money): pass
def give(): return Money(5)
"""
RIGHT = {
    "an instance": (MONEY, "assert isinstance(Money(1), Money) and not isinstance(Money(1), Coin)"),
    "an instance of a subclass": (MONEY, "assert isinstance(Coin(1), Money) and not isinstance(3, Money)"),
    "an instance that a function made": (MONEY, "assert isinstance(give(), Money)"),
    "hash in a dict": (
        MONEY,
        "prices = {Money(3): 'three'}\nassert prices[Money(3)] == 'three' and Money(4) not in prices",
    ),
    "hash in a set": (MONEY, "assert len({Money(1), Money(1), Money(2)}) == 2"),
    "truth": (MONEY, "assert Money(1)\nassert not Money(0)\nassert bool(Money(0)) is False"),
    "repr": (MONEY, "m = Money(9)\nm.spend(cents=4)\nassert repr(m) == 'Money(5)' and f'{m!r}' == 'Money(5)'"),
    "a dict passed by name": (
        "def count(words, into):\n    for w in words: into[w] = into.get(w, 0) + 1",
        "found = {}\ncount(words=['a', 'b', 'a'], into=found)\nassert found == {'a': 2, 'b': 1}",
    ),
    "a set passed by name": ("def add(to): to.add(3)", "s = {1}\nadd(to=s)\nassert s == {1, 3}"),
    "nested lists passed by name": (
        "def fill(grid):\n    for row in grid: row[0] = 0",
        "g = [[1, 2], [3, 4]]\nfill(grid=g)\nassert g == [[0, 2], [0, 4]]",
    ),
    "printed output, patched stdout": (
        "def f(n):\n    for i in range(n): print(i, end=' ')",
        "import io\nfrom unittest.mock import patch\nwith patch('sys.stdout', new=io.StringIO()) "
        "as out: f(3)\n"
        "assert out.getvalue() == '0 1 2 '",
    ),
    "printed before an exception": (
        "def f():\n    print('before')\n    raise KeyError('k')",
        "import io, contextlib\nb = io.StringIO()\ntry:\n    with contextlib.redirect_stdout(b): f()\n"
        "except KeyError: pass\nassert b.getvalue() == 'before\\n'",
    ),
    "exception text of a built-in": (
        "def f(): raise ValueError('must be positive')",
        "try: f()\nexcept ValueError as e: assert str(e) == 'must be positive'\nelse: assert False",
    ),
    "exception text of the program's own": (
        "class Empty(Exception): pass\ndef f(): raise Empty('nothing here')",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
        "        with self.assertRaisesRegex(Exception, '^nothing here$'): f()",
    ),
    "a generator without end": (
        "def primes():\n    n = 2\n    while True:\n        if all(n % d for d in range(2, n)): "
        "yield n\n        n += 1",
        "p = primes()\nassert [next(p) for _ in range(4)] == [2, 3, 5, 7]\n"
        "from itertools import takewhile\nassert list(takewhile(lambda x: x < 20, primes())) == "
        "[2, 3, 5, 7, 11, 13, 17, 19]",
    ),
    "an iterator class": (
        "class Down:\n    def __init__(s, n): s.n = n\n    def __iter__(s): return s\n    def "
        "__next__(s):\n"
        "        if s.n == 0: raise StopIteration\n        s.n -= 1\n        return s.n",
        "assert list(Down(3)) == [2, 1, 0]",
    ),
    "numpy numbers": (
        "import numpy as np\ndef f(): return np.float64(0.5), np.int32(3), np.bool_(True)",
        "assert f() == (0.5, 3, True)",
    ),
    "numpy within a list": (
        "import numpy as np\ndef f(): return [np.int64(1), {'a': np.float32(2)}]",
        "assert f() == [1, {'a': 2.0}]",
    ),
    "names that LeetCode has at hand": (
        "class Solution:\n    def f(self, a):\n        s = SortedDict()\n        for x in a: s[x] "
        "= 1\n        return list(s)",
        "assert Solution().f([3, 1]) == [1, 3]",
    ),
    "a function called as a module's": (
        "# class Solution is not here\ndef count(a): return len(a)\ndef reduce(a): return a[0]",
        "assert count([1, 2]) == 2 and reduce([7]) == 7",
    ),
    "the tests' own helper keeps its name": (
        "def helper(x): return 'the program'\ndef f(x): return x + 1",
        "def helper(x): return f(x)\nassert helper(1) == 2",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_does_it_passes(sandbox, name):
    assert judge(sandbox, *RIGHT[name]).accepted


def test_the_prompt_s_helper_is_not_taken_from_the_program(sandbox):
    prompt = (
        "import math\n\ndef turned(s):\n    '''The text from its end.'''\n    return s[::-1]\n\n"
        "def unturned(s):\n    '''Undo turned.'''\n"
    )
    row = {
        "prompt": prompt,
        "entry_point": "unturned",
        "canonical_solution": "    return s[::-1]\n",
        "test": "def check(candidate):\n    for word in ('abc', 'xy'): assert candidate(turned(word)) == word\n",
    }
    tests = ADAPTERS["humaneval"](row)["tests"]
    assert sandbox.run(Submission(prompt + row["canonical_solution"], tests)).accepted
    faked = "def turned(s): return s\ndef unturned(s): return s"
    assert sandbox.run(Submission(faked, tests)).verdict == "wrong answer"
