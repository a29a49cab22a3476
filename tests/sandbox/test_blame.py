"""A program that breaks its jail or fells the judge has failed; `sandbox error` is what a good program meets too."""

import contextlib
import os
import signal
import time

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, isolation_level, usage
from ringlite_cli.sandbox.cgroup import MemoryGroup
from ringlite_cli.sandbox.languages import has_compiler

pytestmark = pytest.mark.skipif(isolation_level().level != "full", reason=f"isolation here is {isolation_level()}")

STDIN = {"mode": "stdin", "cases": [{"input": "21\n", "output": "42\n"}]}
GOOD = Submission("print(int(input()) * 2)", STDIN)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(workers=1, seconds=1.0, memory_mb=256)) as opened:
        yield opened


def in_language(language):
    return {**STDIN, "language": language}


def run_with_a_killer(program, kills):
    """The verdict on `program` when its jail dies under it, the first `kills` times that it runs."""
    others = {*usage.descendants(os.getpid())}  # of the tests' own
    with Sandbox(SandboxSettings(workers=1, seconds=30.0)) as sandbox:
        future = sandbox.submit(Submission(program, STDIN))
        while kills and not future.done():
            below = [pid for pid in usage.descendants(os.getpid()) if pid not in others]
            if any(has_burnt(pid) for pid in below):
                kills -= 1
                for pid in below:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        return future.result(60)


def has_burnt(pid):
    """Whether a process, not its children, has used a third of a second: a jail starts with less."""
    found = usage._stat(pid)
    return found is not None and found[0] > 0.5


BURNS = "while True: pass"


@pytest.mark.slow
def test_a_program_whose_jail_dies_twice_has_failed():
    judged = run_with_a_killer(BURNS, kills=2)
    assert judged.verdict == "runtime error", judged
    assert "jail" in judged.detail


@pytest.mark.slow
def test_a_jail_that_dies_once_is_replaced():
    program = "import time\nwhile time.process_time() < 1.0: pass\nprint(int(input()) * 2)"
    assert run_with_a_killer(program, kills=1).accepted


def test_where_no_jail_starts_a_program_is_not_blamed(sandbox, monkeypatch):
    with Sandbox(SandboxSettings(workers=1)) as broken:
        monkeypatch.setattr("ringlite_cli.sandbox.starting.find_bwrap", lambda: "/nowhere/bwrap")
        judged = broken.run(GOOD)
    assert judged.verdict == "sandbox error"
    assert "a known-good program fails too" in judged.detail


@pytest.mark.skipif(not has_compiler("java"), reason="no javac")
@pytest.mark.slow
def test_a_source_that_fells_the_compiler_does_not_compile(sandbox):
    name = "A" * 300  # longer than a file's name may be
    program = f"public class {name} {{ public static void main(String[] a) {{ System.out.println(42); }} }}"
    judged = sandbox.run(Submission(program, in_language("java")))
    assert judged.verdict == "compile error", judged


@pytest.mark.skipif(not has_compiler("java"), reason="no javac")
@pytest.mark.slow
@pytest.mark.full  # a minute and a half; sources without an end, below, are of its kind
def test_a_source_that_grows_in_the_compiler_does_not_compile(sandbox):
    nested = "try { x(); } finally { " * 18 + "x();" + " }" * 18
    program = f"public class Main {{ static void x() {{}} public static void main(String[] a) {{ {nested} }} }}"
    judged = sandbox.run(Submission(program, in_language("java")))
    assert judged.verdict in ("compile error", "memory limit"), judged


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler("cpp"), reason="no g++")
@pytest.mark.parametrize(
    "program",
    [
        '#include "/dev/zero"\nint main() {}',
        "#include <cstdio>\nchar large[200000000] = {1}; int main() { puts(large + getchar()); }",
        "template<int N> struct T { T<N + 1> next; }; T<0> t; int main() {}",
    ],
    ids=["endless include", "large product", "endless template"],
)
def test_a_source_without_a_program_does_not_compile(sandbox, program):
    judged = sandbox.run(Submission(program, in_language("cpp")))
    assert judged.verdict in ("compile error", "memory limit"), judged


BREAKERS = {
    "closed /tmp": "import os\nos.chmod('/tmp', 0)",
    "full of folders": "import os\nwhile True:\n    os.mkdir('/tmp/d'); os.chdir('/tmp/d'); os.chmod('.', 0o300)",
    "deep": "import os\nfor n in range(4000):\n    os.mkdir('d' * 200); os.chdir('d' * 200)\n",
    "names that are no text": "import os\nfor n in range(4000): os.mkdir(b'/tmp/\\xff%d' % n)",
    "stopped": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nfor _ in range(9):\n    if os.fork() == 0:"
    " os.kill(os.getpid(), signal.SIGSTOP)\nos.wait()",
    "all its memory, many times": "import os\nfor _ in range(14): os.fork()\nheld = bytearray(200 << 20)\n"
    "for n in range(0, len(held), 4096): held[n] = 1",
    "kernel memory": "import socket, os\nfor _ in range(12):\n    if os.fork() == 0: break\nheld = []\n"
    "while True:\n    try: held.append(socket.socketpair(1, 2))\n    except OSError: break\n"
    "for pair in held:\n    for end in pair:\n        end.setblocking(False)\n        end.setsockopt(1, 7, 1 << 30)\n"
    "        try:\n            while True: end.send(bytes(60000))\n        except OSError: pass\n",
    "deep data": "print('[' * 3000000)",
    "long number": "print('9' * 3000000)",
    "forged labels": "import os\nos._exit(71)",
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in ("stopped", "kernel memory") else name for name in BREAKERS],
)
def test_no_program_gets_a_sandbox_error(sandbox, name):
    judged = sandbox.run(Submission(BREAKERS[name], STDIN))
    assert judged.verdict not in ("sandbox error", "accepted"), judged
    called = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": 1}]}
    judged = sandbox.run(Submission(f"def f():\n    exec({BREAKERS[name]!r}, {{}})", called))
    assert judged.verdict not in ("sandbox error", "accepted"), judged
    assert sandbox.run(GOOD).accepted


def test_unit_tests_that_ask_nothing_of_a_program_blame_it_only_if_any_program_would_do(sandbox):
    shadowed = {"mode": "unit", "code": "assert gcd(12, 18) == 6"}
    assert sandbox.run(Submission("# class Solution", shadowed)).verdict == "runtime error"
    idle = {"mode": "unit", "code": "assert 1 + 1 == 2"}
    assert sandbox.run(Submission("x = 1", idle)).verdict == "sandbox error"


def test_tests_without_an_answer_are_told_before_a_program_runs(sandbox):
    broken = {"mode": "stdin", "cases": [{"input": "1", "output": "1"}, {"input": "2"}]}
    judged = sandbox.run(Submission("print(input())", broken))
    assert (judged.verdict, "'output'" in judged.detail) == ("sandbox error", True)


@pytest.mark.slow
@pytest.mark.parametrize("group", [True, False], ids=["control group", "none"])
def test_a_program_that_fills_the_kernels_buffers_has_filled_its_memory(monkeypatch, group):
    if not group:
        monkeypatch.setattr(MemoryGroup, "make", classmethod(lambda kind, slot: None))
    hog = "import os, socket, time\npids = [os.fork() for _ in range(1)]\nfor _ in range(3): os.fork()\n"
    hog += "held = [socket.socketpair(1, 2) for _ in range(27)]\nfor end in sum(held, ()):\n"
    hog += "    end.setblocking(False); end.setsockopt(1, 7, 1 << 30)\n    try:\n"
    hog += "        while end.send(bytes(60000)): pass\n"
    hog += "    except OSError: pass\ntime.sleep(1.5)\nif all(pids): print(42)"
    few = "import socket, time\nheld = [socket.socketpair() for _ in range(20)]\ntime.sleep(0.5)\nprint(42)"
    with Sandbox(SandboxSettings(workers=1, seconds=5, memory_mb=256)) as sandbox:
        assert sandbox.run(Submission(hog, STDIN)).verdict == "memory limit"
        assert sandbox.run(Submission(few, STDIN)).accepted
        assert sandbox.run(GOOD).accepted


@pytest.mark.slow
def test_memory_is_counted_where_there_is_no_control_group(monkeypatch):
    monkeypatch.setattr(MemoryGroup, "make", classmethod(lambda kind, slot: None))
    hog = "import os, time\nfor _ in range(4): os.fork()\nheld = bytearray(150 << 20)\n"
    hog += "for n in range(0, len(held), 4096): held[n] = 1\ntime.sleep(2)\nprint(42)"
    shared = "import os, time\nheld = bytearray(150 << 20)\nfor n in range(0, len(held), 4096): held[n] = 1\n"
    shared += "pids = [os.fork() for _ in range(2)]\ntime.sleep(0.5)\nif all(pids): print(42)"
    with Sandbox(SandboxSettings(workers=1, seconds=5, memory_mb=256)) as sandbox:
        assert sandbox.run(Submission(hog, STDIN)).verdict == "memory limit"
        assert sandbox.run(Submission(shared, STDIN)).accepted  # the same pages, three times
        assert sandbox.run(GOOD).accepted
