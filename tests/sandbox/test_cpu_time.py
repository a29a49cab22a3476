"""CPU time decides, of all threads and processes, however busy the machine is; wall time only ends what sleeps."""

import pytest
from sweeps import sample_of

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, isolation_level
from ringlite_cli.sandbox.languages import has_compiler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(isolation_level().level != "full", reason=f"isolation here is {isolation_level()}"),
]
LIMIT = 1.0

PYTHON = """
import time
while time.process_time() < {seconds}: pass
print(1)
"""
CPP = """
#include <ctime>
#include <cstdio>
int main() {{ while (clock() < {seconds} * CLOCKS_PER_SEC); puts("1"); }}
"""
JAVA = """
import java.lang.management.*;
public class Main {{ public static void main(String[] none) {{
  ThreadMXBean clock = ManagementFactory.getThreadMXBean();
  while (clock.getCurrentThreadCpuTime() < {seconds} * 1e9) for (int i = 0; i < 100000; i++) none.hashCode();
  System.out.println(1);
}} }}
"""
PYTHON_THREADS = """
import hashlib, threading, time
def burn():
    while time.thread_time() < {seconds} / 4: hashlib.sha256(bytes(1 << 20)).digest()
threads = [threading.Thread(target=burn) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(1)
"""
CPP_THREADS = """
#include <ctime>
#include <cstdio>
#include <thread>
#include <vector>
int main() {{
  std::vector<std::thread> all;
  for (int i = 0; i < 4; i++) all.emplace_back([] {{
    timespec t; do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); while (t.tv_sec + t.tv_nsec * 1e-9 < {seconds} / 4);
  }});
  for (auto& each : all) each.join();
  puts("1");
}}
"""
PYTHON_CHILDREN = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        while time.process_time() < {seconds} / 4: pass
        os._exit(0)
for _ in range(4): os.wait()
print(1)
"""
PYTHON_CHILDREN_NOT_WAITED_FOR = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(4):
    if os.fork() == 0:
        while time.process_time() < {seconds} / 4: pass
        os._exit(0)
try:
    os.wait()
except ChildProcessError: pass
print(1)
"""
PROGRAMS = {
    "python": ("python", PYTHON),
    "python threads": ("python", PYTHON_THREADS),
    "python children": ("python", PYTHON_CHILDREN),
    "python children not waited for": ("python", PYTHON_CHILDREN_NOT_WAITED_FOR),
    "cpp": ("cpp", CPP),
    "cpp threads": ("cpp", CPP_THREADS),
    "java": ("java", JAVA),
}


def submission(name, share):
    language, program = PROGRAMS[name]
    tests = {"mode": "stdin", "language": language, "cases": [{"input": "", "output": "1\n"}]}
    return Submission(program.format(seconds=share * LIMIT), tests)


def verdicts(workers, names):
    """The verdicts on each program at half and at twice the limit, all at once."""
    asked = [(name, share) for name in names for share in (0.5, 2.0)]
    with Sandbox(SandboxSettings(workers=workers, seconds=LIMIT)) as sandbox:
        judged = sandbox.run_many([submission(*each) for each in asked])
    return {each: verdict.verdict for each, verdict in zip(asked, judged, strict=True)}


@pytest.fixture(scope="module")
def names():
    return [name for name, (language, _) in PROGRAMS.items() if has_compiler(language)]


@pytest.mark.parametrize("workers", sample_of([1, 16], 16))
def test_half_the_limit_passes_and_twice_does_not_with_few_workers_and_with_many(names, workers):
    due = {(name, share): "accepted" if share < 1 else "time limit" for name in names for share in (0.5, 2.0)}
    assert verdicts(workers, names) == due


def test_the_seconds_told_are_those_of_all_processes(names):
    with Sandbox(SandboxSettings(workers=1, seconds=LIMIT)) as sandbox:
        judged = sandbox.run(submission("python children", 0.5))
    assert judged.accepted
    assert 0.5 <= judged.cpu_seconds < 1.0  # neither without the children nor counted twice


@pytest.mark.timeout(50)
def test_a_program_that_sleeps_is_ended_after_a_few_times_the_limit():
    tests = {"mode": "stdin", "cases": [{"input": "", "output": "1\n"}]}
    with Sandbox(SandboxSettings(workers=1, seconds=0.3)) as sandbox:
        assert sandbox.run(Submission("import time; time.sleep(0.5); print(1)", tests)).accepted
        asleep = sandbox.run(Submission("import time; time.sleep(60); print(1)", tests))
    assert (asleep.verdict, asleep.detail) == ("time limit", "wall time")
