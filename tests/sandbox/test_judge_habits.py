"""Right programs as people write them for judges: each is accepted, in Python, C++ and Java."""

import os
import shutil

import pytest

from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission
from ringlite_cli.sandbox.judge import same_output, same_value

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")
TOOLS = {"python": "sh", "cpp": "g++", "java": "javac"}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(workers=1, seconds=5, memory_mb=512, isolation="none")) as opened:
        yield opened


def run(sandbox, language, program, given, output):
    if shutil.which(TOOLS[language]) is None:
        pytest.skip(f"no {TOOLS[language]} here")
    case = {"input": given, "output": output}
    return sandbox.run(Submission(program, {"language": language, "mode": "stdin", "cases": [case]}))


PYTHON = {
    "quit": ("print(int(input()) * 2)\nquit(0)\nprint('no')", "4\n", "8"),
    "exit in a function": ("def main():\n    print(input())\n    if True: exit()\nmain()\nprint('no')", "x\n", "x"),
    "modes of the streams": (
        "import sys\nprint(sys.stdin.mode, sys.stdout.mode, sys.__stdin__ is sys.stdin, sys.__stdout__ is sys.stdout)",
        "",
        "r w True True",
    ),
    "fast input and output": (
        "import os, sys\nfrom io import BytesIO, IOBase\n"
        "class Fast(IOBase):\n    def __init__(self, file):\n        self._fd = file.fileno()\n"
        "        self.buffer = BytesIO()\n"
        "        self.writable = 'x' in file.mode or 'r' not in file.mode\n"
        "        self.write = self.buffer.write if self.writable else None\n"
        "    def flush(self):\n        if self.writable: os.write(self._fd, "
        "self.buffer.getvalue()); self.buffer = BytesIO()\n"
        "out = Fast(sys.stdout)\nout.write(sys.stdin.readline().encode())\nout.flush()",
        "fast\n",
        "fast",
    ),
    "another writer on the first stream's buffer": (
        "import io, sys\nold = sys.stdout\nold.write('a\\n')\nsys.stdout = io.StringIO()\n"
        "print('lost')\nold.write('b\\n')",
        "",
        "a\nb",
    ),
    "a writer without close": (
        "import sys\nclass W:\n    def write(self, text): sys.__stdout__.write(text.upper())\n"
        "sys.stdout = W()\nprint('up')",
        "",
        "UP",
    ),
    "written at exit": (
        "import atexit, sys\natexit.register(lambda: sys.__stdout__.write('end\\n'))\nprint('go')",
        "",
        "go\nend",
    ),
    "standard output by number": ("import os\nout = os.fdopen(1, 'w')\nout.write('y\\n')", "", "y"),
    "its own file": ("import os\nprint(os.path.basename(__file__) != '')", "", "True"),
    "a long integer": ("print(len(str(7 ** 20000)))\nprint(int('9' * 9000) % 7)", "", "16902\n0"),
    "deep recursion": (
        "import sys\nsys.setrecursionlimit(10**6)\ndef depth(n): return 0 if n == 0 else 1 + "
        "depth(n - 1)\nprint(depth(50000))",
        "",
        "50000",
    ),
    "deep recursion through C": (
        "import sys, functools\nsys.setrecursionlimit(1 << 20)\n@functools.lru_cache(None)\n"
        "def f(n): return n if n < 2 else (f(n - 1) + f(n - 2)) % 1000007\nprint(f(20000))",
        "",
        "32559",
    ),
    "a thread with a stack of 2**29": (
        "import sys, threading\nsys.setrecursionlimit(10**7)\nthreading.stack_size(1 << 29)\n"
        "def go(n): return n if n == 0 else 1 + go(n - 1)\ndef main(): print(go(60000))\n"
        "t = threading.Thread(target=main)\nt.start()\nt.join()",
        "",
        "60000",
    ),
}


@pytest.mark.parametrize("name", PYTHON)
def test_python(sandbox, name):
    judged = run(sandbox, "python", *PYTHON[name])
    assert judged.accepted, judged


def test_an_exit_code_and_what_was_said_stay_known(sandbox):
    judged = run(sandbox, "python", "exit(3)", "", "")
    assert (judged.verdict, judged.detail) == ("runtime error", "exit code 3")
    judged = run(sandbox, "python", "import linecache\nlinecache.clearcache()\nopen('/dev/null')\n1 / 0", "", "")
    assert judged.verdict == "runtime error"
    assert "ZeroDivisionError" in judged.detail
    judged = run(sandbox, "python", "import sys\nsys.stdout = None\n1 / 0", "", "")
    assert judged.verdict == "runtime error"
    assert "ZeroDivisionError" in judged.detail


HEAD = "#include <bits/stdc++.h>\nusing namespace std;\n"
COMPILED = {
    "C++20": (
        "cpp",
        HEAD + "#include <ranges>\nint main() { vector<int> v{3, 1, 2}; ranges::sort(v); auto f = [](auto "
        "x) requires "
        "integral<decltype(x)> { return x; };\nfor (int x : v | views::reverse) cout << f(x) << ' '; }",
        "",
        "3 2 1",
    ),
    "a word that C++20 took": (
        "cpp",
        HEAD + "int main() { int concept = 4, requires = 1; cout << concept + requires; }",
        "",
        "5",
    ),
    "a name that C++20 took": (
        "cpp",
        HEAD
        + "struct S { bool operator==(const S &) { return true; } };\nint main() { char8_t; }\n".replace(
            "char8_t;", "int char8_t = 7; cout << char8_t;"
        ),
        "",
        "7",
    ),
    "ONLINE_JUDGE in C++": (
        "cpp",
        HEAD + 'int main() {\n#ifndef ONLINE_JUDGE\nfreopen("in.txt", "r", stdin);\n#endif\n'
        "int n; cin >> n; cout << n; }",
        "6\n",
        "6",
    ),
    "a deep search": (
        "cpp",
        HEAD + "vector<int> next_;\nint walk(int v, int d) { volatile char room[200]; room[0] = d; "
        "return next_[v] < 0 ? d : walk(next_[v], d + 1) + (room[0] & 0); }\nint main() { int n = "
        "500000; "
        "next_.resize(n); for (int i = 0; i < n; i++) next_[i] = i + 1 < n ? i + 1 : -1; cout << "
        "walk(0, 1); }",
        "",
        "500000",
    ),
    "a package": (
        "java",
        "package org.example.contest ;\nimport java.util.*;\npublic class Main { public static "
        "void main(String[] a) "
        "{ System.out.println(new Scanner(System.in).nextInt() + 1); } }",
        "4\n",
        "5",
    ),
    "a package after a comment": (
        "java",
        "/* package old; */ // mine\npackage mine;\npublic class Answer { public static void main"
        '(String[] a) { System.out.println("package x;"); } }',
        "",
        "package x;",
    ),
    "two mains": (
        "java",
        'class Aaa { public static void main(String[] a) { System.out.println("no"); } }\n'
        'public class Zoo { public static void main(String[] a) { System.out.println("yes"); } }',
        "",
        "yes",
    ),
    "two mains, none public": (
        "java",
        'class Brute { public static void main(String[] a) { System.out.println("no"); } }\n'
        'class Main { public static void main(String[] a) { System.out.println("yes"); } }',
        "",
        "yes",
    ),
    "a class in a comment": (
        "java",
        "/*\npublic class Old {}\n*/\n// public class Older {}\npublic class New { static String s = "
        '"public class Text {}"; public static void main(String[] a) { System.out.println(1); } }',
        "",
        "1",
    ),
    "a class after an import on its line": (
        "java",
        "import java.util.*; public final class Sol { public static void main(String[] a) "
        "{ System.out.println(List.of(1)); } }",
        "",
        "[1]",
    ),
    "a public class within the first": (
        "java",
        "class Main { public static class Pair { int a; }\npublic static void main(String[] a) "
        "{ System.out.println(new Pair().a); } }",
        "",
        "0",
    ),
    "ONLINE_JUDGE in Java": (
        "java",
        "public class Main { public static void main(String[] a) { System.out.println("
        'System.getProperty("ONLINE_JUDGE") != null); } }',
        "",
        "true",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiled(sandbox, name):
    judged = run(sandbox, *COMPILED[name])
    assert judged.accepted, judged


@pytest.mark.slow
def test_no_list_is_an_empty_list_in_java(sandbox):
    if shutil.which("javac") is None:
        pytest.skip("no javac here")
    program = "class Solution { public {0} cut({0} x) { return null; } public int[] none(int n) { return null; } }"
    for kind in ("ListNode", "TreeNode"):
        tests = {
            "language": "java",
            "mode": "function",
            "entry_point": "cut",
            "cases": [{"args": [[1]], "expected": []}],
        }
        assert sandbox.run(Submission(program.replace("{0}", kind), tests)).accepted
    tests = {"language": "java", "mode": "function", "entry_point": "none", "cases": [{"args": [1], "expected": None}]}
    assert sandbox.run(Submission(program.replace("{0}", "ListNode"), tests)).accepted


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import numpy as np\ndef f(): return np.array([[1.5], [2]])", [[1.5], [2]]),
        ("import numpy as np\ndef f(): return [np.int8(4), np.bool_(False)]", [4, False]),
        ("import numpy as np\ndef f(): return {'a': np.uint64(2**63)}", {"a": 2**63}),
    ],
)
def test_numpy_results_are_data(sandbox, program, expected):
    pytest.importorskip("numpy")
    tests = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": expected}]}
    assert sandbox.run(Submission(program, tests)).accepted


@pytest.mark.parametrize(
    ("expected", "actual", "tolerance", "same"),
    [
        ("1000000", "1000000.4", 1e-6, True),
        ("3", "3.0000001", 1e-6, True),
        ("3", "3.1", 1e-6, False),
        ("7", "8", 0.5, True),
        ("12.50", "12.5000", None, True),
        ("12.50", "12.49", None, False),
        ("99999.95", "99999.96", None, False),
        ("99999.95", "99999.9", None, False),
        ("1.10", "1.1", None, False),
        ("0.333333", "0.3333332", None, True),
        ("3", "4", None, False),
    ],
)
def test_numbers_in_an_output(expected, actual, tolerance, same):
    assert same_output(expected, actual, **({} if tolerance is None else {"tolerance": tolerance})) is same


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        (10**17 + 1, 1e17, False),
        (2**53 + 1, float(2**53), False),
        (10**20, 1e20, True),
        (5, 5.0000001, True),
        (5, 5.1, False),
        (5, float("inf"), False),
        (5, float("nan"), False),
        (0, -0.0, True),
    ],
)
def test_an_integer_expected_and_a_float_given(expected, actual, same):
    assert same_value(expected, actual) is same


FAKED = {
    "cpp": ("int f(int n) { return 0; }", "assert(f(3) == 9);"),
    "java": ("class Solution { int f(int n) { return 0; } }", "assert new Solution().f(3) == 9;"),
}


@pytest.mark.parametrize("language", FAKED)
def test_compiled_test_code_is_refused_until_it_is_trusted(language):
    program, code = FAKED[language]
    problem = Problem("p", "code", "?", tests={"mode": "unit", "language": language, "code": code})
    with Verifiers(VerifierSettings(workers=1, isolation="none")) as verify:
        verdict = verify([(problem, f"```{language}\n{program}\n```")])[0]
    assert (verdict.verdict, verdict.reward) == ("refused", 0.0)
    assert "share a process with the program" in verdict.detail
    assert "trust_compiled_tests" in verdict.detail


@pytest.mark.slow
@pytest.mark.parametrize("language", FAKED)
def test_trusted_compiled_test_code_runs(language):
    if shutil.which(TOOLS[language]) is None:
        pytest.skip(f"no {TOOLS[language]} here")
    program, code = FAKED[language]
    problem = Problem("p", "code", "?", tests={"mode": "unit", "language": language, "code": code})
    settings = VerifierSettings(workers=1, isolation="none", trust_compiled_tests=True)
    with Verifiers(settings) as verify:
        right = program.replace("return 0", "return n * n")
        verdicts = verify([(problem, f"```{language}\n{text}\n```") for text in (right, program)])
    assert [verdict.reward for verdict in verdicts] == [1.0, 0.0]
