"""C++ and Java beside Python: compiled in the jail, judged by input and output, compiled once per source."""

import os
import shutil

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, isolation_level
from ringlite_cli.sandbox.languages import Compiled, java_class, language_of

linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")
TOOLS = {"python": "sh", "cpp": "g++", "java": "javac"}
SUM = {
    "python": "a, b = map(int, input().split())\nprint(a + b)",
    "cpp": '#include <cstdio>\nint main() { long a, b; scanf("%ld %ld", &a, &b); printf("%ld\\n", a + b); }',
    "java": "import java.util.*;\npublic class Sum {\n  public static void main(String[] args) {\n"
    "    Scanner in = new Scanner(System.in);\n    System.out.println(in.nextLong() + in.nextLong());\n  }\n}",
}
CASES = [{"input": "1 2\n", "output": "3\n"}, {"input": "5 -9\n", "output": "-4"}]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(workers=1, seconds=5, memory_mb=256, isolation="none")) as opened:
        yield opened


def need(language):
    if shutil.which(TOOLS[language]) is None:
        pytest.skip(f"no compiler for {language} here ({TOOLS[language]})")


def judged(sandbox, language, program):
    need(language)
    return sandbox.run(Submission(program, {"mode": "stdin", "language": language, "cases": CASES}))


@pytest.mark.slow
@linux
@pytest.mark.parametrize("language", SUM)
def test_the_same_problem_in_every_language(sandbox, language):
    wrong = SUM[language].replace("a + b", "a - b").replace("() + in", "() * in")
    assert judged(sandbox, language, SUM[language]).verdict == "accepted"
    assert judged(sandbox, language, wrong).verdict == "wrong answer"
    assert judged(sandbox, language, SUM[language][:-2]).verdict in ("compile error", "wrong answer")


@linux
def test_a_source_is_compiled_once(sandbox):
    first = judged(sandbox, "cpp", SUM["cpp"])
    hits = sandbox._memory.compiled.hits
    assert judged(sandbox, "cpp", SUM["cpp"]).verdict == first.verdict == "accepted"
    assert sandbox._memory.compiled.hits == hits + 1


@linux
@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        ("int main() { volatile int *p = 0; *p = 1; }", "runtime error"),
        ("int main() { return 3; }", "runtime error"),
        ("#include <vector>\nint main() { std::vector<int> v; for (;;) v.push_back(1); }", "memory limit"),
        ("int main() { return undeclared; }", "compile error"),
        ('#include "/etc/passwd"\nint main() {}', "compile error"),
    ],
)
def test_cpp_verdicts(sandbox, program, verdict):
    assert judged(sandbox, "cpp", program).verdict == verdict


@linux
@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ('throw new RuntimeException("no");', "runtime error"),
        (
            "java.util.List<long[]> l = new java.util.ArrayList<>(); while (true) l.add(new long[999999]);",
            "memory limit",
        ),
        ('new java.net.Socket("1.1.1.1", 53);', "runtime error"),
        ("System.out.println(undeclared);", "compile error"),
    ],
)
def test_java_verdicts(sandbox, body, verdict):
    source = f"class A {{ public static void main(String[] args) throws Exception {{ {body} }} }}"
    assert judged(sandbox, "java", source).verdict == verdict


@linux
@pytest.mark.skipif(isolation_level().level != "full", reason=f"isolation here is {isolation_level()}")
def test_a_compiled_program_is_as_locked_in_as_any(sandbox):
    probe = (
        "#include <cstdio>\n#include <sys/socket.h>\n#include <unistd.h>\n"
        'int main() { printf("%d %d %d", socket(2, 1, 0), open_it(), getppid()); }'
    ).replace("open_it()", 'access("/etc/passwd", 4)')
    need("cpp")
    tests = {"mode": "stdin", "language": "cpp", "cases": [{"input": "", "output": "-1 -1 0"}]}
    assert sandbox.run(Submission(probe, tests)).accepted


def test_names_of_languages():
    named = [language_of(n) for n in ("Python3", "C++", "cpp", "java", None, "", "rust")]
    assert named == ["python", "cpp", "cpp", "java", "python", "python", None]


@pytest.mark.parametrize(
    ("source", "name"),
    [("public class A {}", "A"), ("class B {}\npublic final class C {}", "C"), ("class D {}", "Main")],
)
def test_a_java_file_is_named_after_its_public_class(source, name):
    assert java_class(source) == name


def test_the_cache_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr("ringlite_cli.sandbox.languages._CACHE_BYTES", 10)
    cache = Compiled()
    for source in "abc":
        cache.put("cpp", source, b"12345")
    assert [cache.get("cpp", source) for source in "abc"] == [None, b"12345", b"12345"]
    assert cache.get("java", "c") is None
