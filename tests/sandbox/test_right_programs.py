"""Right programs of the kinds that contest archives hold pass, and exact decimals are compared exactly."""

import shutil

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission
from ringlite_cli.sandbox.judge import same_output, same_value

PYTHON = {
    "exit": "print(6)\nexit()",
    "mode": "import sys\nassert sys.stdin.mode == 'r' and sys.stdout.mode == 'w'\nprint(6)",
    "kept stream": "import sys, io\nold = sys.stdout\nsys.stdout = io.StringIO()\nold.write('6')",
    "file left open": "open(1, 'w').write('6')",
    "exit handler": "import atexit, sys\natexit.register(lambda: sys.__stdout__.write('6'))",
    "long integer": "print(len(str(10 ** 6000)) - 5995)",
    "large stack": "import threading\nthreading.stack_size(2**29)\nt = threading.Thread(target=print, args=(6,))\n"
    "t.start()\nt.join()",
}
CPP = {
    "C++20": "#include <bits/stdc++.h>\nint main() { std::vector<int> v{6, 9}; "
    "std::ranges::sort(v); std::cout << v[0]; }",
    "judge": '#include <cstdio>\nint main() {\n#ifdef ONLINE_JUDGE\nputs("6");\n#endif\n}',
    "threads": '#include <thread>\n#include <cstdio>\nint main() { std::thread t([] { puts("6"); }); t.join(); }',
    "depth": "#include <cstdio>\n#include <cstring>\nint f(int n) { char b[100]; memset(b, n, 100); "
    "return n ? f(n - 1) + "
    'b[n % 100] * 0 : 6; }\nint main() { printf("%d", f(1000000)); }',
}
JAVA = {
    "package": "package a.b;\npublic class Main { public static void main(String[] a) { System.out.println(6); } }",
    "two mains": "class A { public static void main(String[] a) { System.out.println(5); } }\n"
    "public class B { public static void main(String[] a) { System.out.println(6); } }",
    "comment": "/* public class C {} */ import java.util.*; public class B { public static class D {}\n"
    "public static void main(String[] a) { System.out.println(6); } }",
}


def verdicts(language: str, programs: dict[str, str]) -> dict[str, str]:
    tests = {"mode": "stdin", "language": language, "cases": [{"input": "", "output": "6\n"}]}
    with Sandbox(SandboxSettings(workers=1)) as sandbox:
        waiting = {name: sandbox.submit(Submission(text, tests)) for name, text in programs.items()}
        return {name: future.result().verdict for name, future in waiting.items()}


def test_python_programs_find_what_judges_offer() -> None:
    assert verdicts("python", PYTHON) == dict.fromkeys(PYTHON, "accepted")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_cpp_programs_find_what_judges_offer() -> None:
    assert verdicts("cpp", CPP) == dict.fromkeys(CPP, "accepted")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("javac") is None, reason="no Java compiler")
def test_java_programs_start_with_their_public_class() -> None:
    assert verdicts("java", JAVA) == dict.fromkeys(JAVA, "accepted")


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("1234567.89", "1234567.00", False),
        ("1.10", "1.1", False),
        ("2.0", "2", True),
        ("0.3333333333", "0.33333333", True),
        ("60", "60.0", False),
    ],
)
def test_a_decimal_of_few_places_is_exact(expected: str, actual: str, same: bool) -> None:
    assert same_output(expected, actual) is same


def test_a_tolerance_holds_for_integers_too_and_large_integers_stay_exact() -> None:
    assert same_output("60", "60.0000001", 1e-6)
    assert not same_value(2**53 + 1, float(2**53))
    assert same_value(6, 6.0)
