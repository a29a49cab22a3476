"""What holds on each rung of the ladder, and on machines with an odd kernel."""

import ctypes
import os
import subprocess
import sys

import psutil
import pytest
from sweeps import sample_of

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, isolation_level, ladder, packages
from ringlite_cli.sandbox.guest import lock
from ringlite_cli.sandbox.languages import has_compiler
from ringlite_cli.sandbox.view import Isolation, inside

pytestmark = pytest.mark.skipif(isolation_level().level != "full", reason=f"isolation here is {isolation_level()}")
ROOT = os.geteuid() == 0
PR_SET_CHILD_SUBREAPER = 36
RUNGS = {
    "full": Isolation("full", ladder.ALL_NAMESPACES, ROOT),
    "no network name space": Isolation("partial", ("pid", "ipc", "uts"), ROOT),
    "no PID name space": Isolation("partial", ("net", "ipc", "uts"), ROOT),
    "no name spaces": Isolation("partial", (), ROOT),
    "none": Isolation("none", (), ROOT),
}


def answer(rung, monkeypatch, body, runs=1):
    """What `def f()` with this body returns on the last of some runs in one jail: its text."""
    monkeypatch.setattr("ringlite_cli.sandbox.pool.require_isolation", lambda level: RUNGS[rung])
    program = "import os, sys, time\ndef f():\n" + "\n".join(f"    {line}" for line in body.splitlines())
    tests = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": "never"}]}
    with Sandbox(SandboxSettings(workers=1, seconds=2.0, isolation="none")) as sandbox:
        judged = [sandbox.run(Submission(program, tests)) for _ in range(runs)][-1]
    assert judged.verdict == "wrong answer", judged
    return judged.detail.partition(", got ")[2]


def scopes_signals():
    """Whether this kernel's Landlock keeps signals inside: then runs need no user id of their own for that."""
    return lock.libc.syscall(444, None, 0, 1) >= 6


@pytest.mark.parametrize("rung", sample_of(RUNGS, "full", mark="slow"))
def test_a_run_cannot_signal_the_processes_outside(rung, monkeypatch):
    if not ROOT and not scopes_signals():
        pytest.skip("a user without privileges has one user id")
    body = f"found = []\nfor pid in (os.getppid(), {os.getpid()}, 1):\n"
    body += "    try: found.append((pid != os.getpid() and pid > 0 and os.kill(pid, 0)) is None)\n"
    body += "    except OSError: pass\nreturn any(found)"
    assert answer(rung, monkeypatch, body) == "False"


@pytest.mark.parametrize("rung", sample_of(RUNGS, "full", mark="slow"))
def test_a_run_cannot_read_the_environment_of_this_process(rung, monkeypatch):
    if not ROOT:
        pytest.skip("a user without privileges has one user id")
    body = f"try: return len(open('/proc/{os.getpid()}/environ').read())\nexcept OSError: return None"
    assert answer(rung, monkeypatch, body) == "None"


@pytest.mark.parametrize("rung", sample_of(RUNGS, "full", mark="slow"))
def test_a_run_is_nobody_on_the_host_and_cannot_signal_this_process(rung, monkeypatch):
    if not ROOT:
        pytest.skip("a user without privileges has one user id")
    body = f"try: os.kill({os.getpid()}, 0)\nexcept OSError as e: return e.errno, os.getuid(), os.geteuid()\nreturn 0"
    told = answer(rung, monkeypatch, body)
    assert told.startswith(("(1, ", "(3, ", "[1, ", "[3, ")), told  # not permitted, or no such process
    assert " 0" not in told


@pytest.mark.skipif(not ROOT, reason="a user without privileges has one user id")
def test_every_kind_of_rung_is_first_tried_with_a_user_id_of_its_own():
    first = {rung.namespaces: rung.user_ids for rung in reversed(ladder._rungs())}
    assert len(first) >= 5
    assert all(first.values())


@pytest.mark.parametrize("rung", sample_of(RUNGS, "full", mark="slow"))
def test_a_run_cannot_write_what_root_owns(rung, monkeypatch, tmp_path):
    if not ROOT:
        pytest.skip("a user without privileges owns what it owns")
    (tmp_path / "kept").write_text("kept")
    body = f"try: open({str(tmp_path / 'kept')!r}, 'w').write('x')\nexcept OSError as e: return type(e).__name__"
    assert "Error" in answer(rung, monkeypatch, body)
    assert (tmp_path / "kept").read_text() == "kept"


@pytest.fixture
def takes_orphans():
    """Make this process the parent of every descendant that loses its own: no other sandbox's are among them."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)


def is_zygote(process):
    try:
        return "guest import zygote" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.parametrize("rung", sample_of(RUNGS, "full", mark="slow"))
def test_a_run_leaves_no_process_and_no_file_in_its_folder(rung, monkeypatch, takes_orphans):
    if rung.startswith("no ") and not ROOT:
        pytest.skip("without PID name spaces and a user id of its own a run can leave processes")
    body = "n = len(os.listdir('.'))\nopen('left', 'w').close()\nif os.fork() == 0:\n    os.setsid()\n"
    body += "    if os.fork() == 0: time.sleep(987654)\n    os._exit(0)\nos.wait()\nreturn n"
    assert answer(rung, monkeypatch, body, runs=2) == "0"
    assert not [process for process in psutil.Process().children(recursive=True) if is_zygote(process)]


@pytest.mark.parametrize("rung", sample_of([name for name in RUNGS if name != "none"], "full", mark="slow"))
def test_only_listed_packages_are_visible(rung, monkeypatch):
    places = [root + "/lib*/python*/*-packages/*" for root in ("/usr", "/usr/local", inside(sys.base_prefix))]
    body = f"import glob\nfound = [each for place in {places!r} for each in glob.glob(place)]\n"
    body += "return found, sorted(n for n in os.listdir('/site') if not n.endswith(('.dist-info', '.libs')))"
    told = answer(rung, monkeypatch, body)
    listed = sorted(n for n in packages.site_packages(packages.USUAL) if not n.endswith((".dist-info", ".libs")))
    assert told.replace("(", "[").replace(")", "]") == f"[[], {listed!r}]"


DOUBLE = {
    "python": "import tempfile\nwith tempfile.TemporaryFile() as f: print(int(input()) * 2)",
    "cpp": '#include <cstdio>\nint main() { int n; scanf("%d", &n); printf("%d", 2 * n); }',
    "java": "public class Main { public static void main(String[] none) {\n"
    "System.out.println(2 * new java.util.Scanner(System.in).nextInt()); } }",
}


@pytest.mark.slow
@pytest.mark.parametrize("rung", RUNGS)
def test_programs_of_each_language_run_on_each_rung(rung, monkeypatch):
    monkeypatch.setattr("ringlite_cli.sandbox.pool.require_isolation", lambda level: RUNGS[rung])
    with Sandbox(SandboxSettings(workers=1, isolation="none")) as sandbox:
        for language in filter(has_compiler, DOUBLE):
            tests = {"mode": "stdin", "language": language, "cases": [{"input": "21", "output": "42"}]}
            judged = sandbox.run(Submission(DOUBLE[language], tests))
            assert judged.accepted, (language, judged)


@pytest.mark.slow
def test_a_folder_too_deep_to_remove_harms_no_later_run(monkeypatch, tmp_path):
    monkeypatch.setattr("ringlite_cli.sandbox.pool.require_isolation", lambda level: RUNGS["none"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tmp_path.chmod(0o755)
    tests = {"mode": "stdin", "cases": [{"input": "", "output": "42"}]}
    deep = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')\nos.chmod('.', 0)\nprint(42)"
    with Sandbox(SandboxSettings(workers=1, isolation="none")) as sandbox:
        assert [sandbox.run(Submission(deep, tests)).verdict for _ in range(2)] == ["accepted"] * 2
        assert len(os.listdir(tmp_path)) <= 2  # one jail's
    assert not os.listdir(tmp_path)


ODD = """
import ctypes, os
from ringlite_cli.sandbox import usage
from ringlite_cli.sandbox.guest import lock
setns = lock._ALLOWED_AS["setns"][0][lock._ARCHES[lock.platform.machine()][1]]
refuse = [lock._op(0x20, 0, 0, 0), lock._op(0x15, 0, 1, setns), lock._op(6, 0, 0, lock._ERRNO | 38)]
program = b"".join([*refuse, lock._op(6, 0, 0, lock._ALLOW)])
assert lock.libc.prctl(38, 1, 0, 0, 0) == 0
assert lock.libc.prctl(22, 2, ctypes.byref(lock._Fprog(len(program) // 8, program)), 0, 0) == 0
from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, isolation_level
tests = {"mode": "stdin", "cases": [{"input": "21", "output": "42"}]}
with Sandbox(SandboxSettings(workers=1, isolation="none")) as sandbox:
    judged, jails = [], set()
    for _ in range(4):
        judged.append(sandbox.run(Submission("print(int(input()) * 2)", tests)).verdict)
        jails.add(usage.descendants(os.getpid())[-1])
print(len(jails), isolation_level().level, *isolation_level().missing, *judged, sep="; ")
"""


@pytest.mark.slow
def test_where_a_process_cannot_come_back_from_a_pid_name_space_runs_go_on():
    """A kernel that lets a process make PID name spaces, but not return from one, has it fork only once."""
    done = subprocess.run([sys.executable, "-c", ODD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    jails, level, *rest = done.stdout.strip().split("; ")
    assert (jails, level) == ("1", "partial")
    assert "a PID name space per run" in rest
    assert rest[-4:] == ["accepted"] * 4
