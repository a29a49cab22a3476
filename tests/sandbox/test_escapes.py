"""Programs that try to get out, in, or away with it. None may; the sandbox must work afterwards."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, isolation_level

pytestmark = pytest.mark.skipif(isolation_level().level != "full", reason=f"isolation here is {isolation_level()}")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(workers=1, seconds=1.0, memory_mb=256, isolation="full")) as opened:
        yield opened


def answers(sandbox, body, expected=True):
    """Whether `def f()` with this body returned `expected`; and the sandbox still judges."""
    lines = ["import os, sys, socket, ctypes, signal, time", "def f():", *("    " + b for b in body.splitlines())]
    tests = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": expected}]}
    judged = sandbox.run(Submission("\n".join(lines), tests))
    good = {"mode": "function", "entry_point": "f", "cases": [{"args": [2], "expected": 4}]}
    assert sandbox.run(Submission("def f(a): return a * 2", good)).accepted
    assert judged.verdict != "sandbox error", judged
    return judged.accepted


BREAKOUTS = {
    "tcp": "socket.create_connection(('1.1.1.1', 53), 0.3); return True",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53)); return True",
    "dns": "socket.getaddrinfo('example.com', 80); return True",
    "loopback": "socket.create_server(('127.0.0.1', 0)); return True",
    "vsock": "socket.socket(40, socket.SOCK_STREAM); return True",
    "netlink": "socket.socket(16, socket.SOCK_RAW); return True",
    "/etc/passwd": "return bool(open('/etc/passwd').read())",
    "/etc/shadow": "return bool(open('/etc/shadow').read())",
    "/proc": "return bool(os.listdir('/proc'))",
    "home": "return any(os.path.exists(p) for p in ('/home', '/root/.ssh', '/root/.bashrc', '/var', '/sys', '/run'))",
    "environment": "return bool(set(os.environ) - {'PATH', 'HOME', 'LANG', 'PYTHONHASHSEED', 'PWD', 'LC_CTYPE',"
    " 'OPENBLAS_NUM_THREADS'})",
    "project": f"return os.path.exists({str(Path(__file__))!r})",
    "write /": "open('/x', 'w'); return True",
    "write /usr": "open('/usr/x', 'w'); return True",
    "write /dev": "open('/dev/x', 'w'); return True",
    "write harness": "open('/ringlite/guest/child.py', 'a'); return True",
    "symlink": "os.symlink('/etc/passwd', '/tmp/l'); return bool(open('/tmp/l').read())",
    "kill parent": "os.kill(os.getppid(), 0); return os.getppid() != 0",
    "kill pid 2": "os.kill(2, 9); return True",
    "ptrace": "return ctypes.CDLL(None).ptrace(16, 2, 0, 0) == 0",
    "process_vm_readv": "return ctypes.CDLL(None).process_vm_readv(2, 0, 0, 0, 0, 0) == 0",
    "mount": "return ctypes.CDLL(None).mount(b'tmpfs', b'/tmp', b'tmpfs', 0, b'') == 0",
    "remount": "return ctypes.CDLL(None).mount(b'', b'/', b'', 32, b'') == 0",
    "umount": "return ctypes.CDLL(None).umount2(b'/tmp', 2) == 0",
    "unshare": "return ctypes.CDLL(None).unshare(0x10000000) == 0",
    "clone": "return ctypes.CDLL(None).syscall(56, 0x10000000 | 17, 0, 0, 0, 0) >= 0",
    "setuid": "os.setuid(0); return os.getuid() == 0 and os.geteuid() == 0",
    "chroot": "os.chroot('/tmp'); return True",
    "keyctl": "return ctypes.CDLL(None).syscall(250, 0, -3, 1) > 0",
    "shared memory": "return ctypes.CDLL(None).shmget(77, 4096, 0o1666) >= 0",
    "memfd": "return os.memfd_create('x') >= 0",
    "raise limits": "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (9999, 9999)); return True",
    "core dumps": "import resource; return resource.getrlimit(resource.RLIMIT_CORE) != (0, 0)",
    "open files of the harness": "found = []\nfor n in range(3, 1024):\n"
    "    try: found.append(os.fstat(n))\n    except OSError: pass\nreturn len(found) > 1",  # its own answers are one
    "pid name space": "return ctypes.CDLL(None).unshare(0x20000000) == 0",  # the calls that the warm process may make
    "fresh /tmp": "return ctypes.CDLL(None).mount(b'tmpfs', b'/tmp', b'tmpfs', 6, b'') == 0",
    "setns": "return ctypes.CDLL(None).setns(os.pidfd_open(os.getpid()), 0x20000000) == 0",
    "clone3": "return ctypes.CDLL(None).syscall(435, b'\\0' * 88, 88) >= 0",
    "new mount calls": "return any(ctypes.CDLL(None).syscall(n, 0, 0, 0, 0, 0) >= 0 for n in (428, 429, 430, 442))",
    "io_uring": "return ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(120)) >= 0",
    "bpf": "return ctypes.CDLL(None).syscall(321, 0, ctypes.create_string_buffer(128), 128) >= 0",
    "fanotify": "return ctypes.CDLL(None).syscall(300, 0, 0) >= 0",
    "pidfd_getfd": "return ctypes.CDLL(None).syscall(438, os.pidfd_open(os.getpid()), 0, 0) >= 0",
    "a child's memory": "pid = os.fork()\nif pid == 0: time.sleep(9)\n"
    "return ctypes.CDLL(None).ptrace(16, pid, 0, 0) == 0",
    "capabilities": "sets = (ctypes.c_uint32 * 6)()\n"
    "assert ctypes.CDLL(None).capget((ctypes.c_uint32 * 2)(0x20080522, 0), sets) == 0\n"
    "return any(sets[i] for i in (0, 1, 3, 4))",  # effective, permitted
    "set-user-id programs": "return ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) != 1",  # PR_GET_NO_NEW_PRIVS
    "filter off": "return ctypes.CDLL(None).prctl(21, 0, 0, 0, 0) != 2 or ctypes.CDLL(None).prctl(22, 0, 0) == 0",
    "abstract socket": "socket.socket(socket.AF_UNIX).connect('\\0ringlite-escape'); return True",
    "files through a socket": "a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [b.fileno()]); return True",
    "device node": "os.mknod('/tmp/disk', 0o60666, os.makedev(8, 0)); return True",
    "hard link": "os.link('/usr/bin/env', '/tmp/env'); return True",
    "/dev/shm": "return os.path.exists('/dev/shm') or os.path.exists('/dev/mqueue')",
    "terminal": "open('/dev/tty'); return True",
    "priority": "os.setpriority(os.PRIO_PROCESS, 0, -5); return True",
    "real time": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); return True",
    "host name": "socket.sethostname('x'); return True",
    "modules beside the tests": "import sys; return bool({'', '.', '/tmp', os.getcwd()} & set(sys.path))",
    "ignoring every signal": "for n in range(1, 64):\n    try: signal.signal(n, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\nwhile True: pass",
    "sleeping with all closed": "os.closerange(0, 256)\ntime.sleep(60)",
    "sleeping at exit": "import atexit; atexit.register(time.sleep, 60); return True",
    "a thread that stays": "import threading; threading.Thread(target=time.sleep, args=(60,)).start(); return True",
    "fork bomb": "n = 0\nwhile n < 500:\n    n += 1\n    if os.fork() == 0: time.sleep(9)\nreturn True",
    "thread bomb": "import threading\n"
    "for _ in range(500): threading.Thread(target=time.sleep, args=(9,)).start()\nreturn True",
    "disk filler": "with open('/tmp/x', 'wb') as o:\n    for _ in range(200): o.write(bytes(1 << 20))\nreturn True",
    "many files": "for n in range(100000): open(f'/tmp/{n}', 'w').close()\nreturn True",
}


@pytest.fixture(scope="module")
def abstract_socket():
    """A socket of the host that has a name and no file."""
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("\0ringlite-escape")
        server.listen()
        client.connect("\0ringlite-escape")
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", BREAKOUTS)
def test_no_way_out(sandbox, name, abstract_socket):
    assert not answers(sandbox, BREAKOUTS[name])


def test_zombies_die_with_their_run(sandbox):
    assert answers(sandbox, "for _ in range(8):\n    if os.fork() == 0: os._exit(0)\nreturn True")
    assert answers(sandbox, "for _ in range(8):\n    if os.fork() == 0: os._exit(0)\nreturn True")


def test_runs_do_not_see_each_others_files(sandbox):
    assert answers(sandbox, "open('/tmp/secret', 'w').write('x'); return True")
    assert answers(sandbox, "return os.listdir('/tmp')", [])
    assert answers(sandbox, "os.makedirs('/tmp/a/b'); os.chmod('/tmp/a', 0); return True")
    assert answers(sandbox, "return os.listdir('/tmp')", [])


def test_what_a_run_leaves_behind_dies_with_it(sandbox):
    assert answers(
        sandbox, "if os.fork() == 0:\n    os.setsid(); signal.signal(15, signal.SIG_IGN); time.sleep(60)\nreturn True"
    )
    alive = "if os.fork() == 0: os._exit(0)\nos.wait()\nreturn os.getpid()"
    assert answers(sandbox, alive, 1)  # the only process of its name space, again


SCAN = """
import ctypes, os, re
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
WORD = re.compile(b"c[a]terpillarc[a]terpillar")  # not the word itself

def f():
    out, back = os.pipe()
    hits = 0
    for near in (id(WORD), id(object()), libc.malloc(100), libc.malloc(200000)):
        first = (near - (16 << 20)) & ~4095
        for page in range(first, first + (32 << 20), 4096):
            if libc.write(back, ctypes.c_void_p(page), 4096) == 4096:  # -1 where nothing is mapped
                hits += len(WORD.findall(os.read(out, 4096)))
    return hits > 0
"""


def test_an_earlier_program_is_not_in_memory(sandbox):
    """A run scans its memory for a word of the run before it: program, arguments and output."""
    tests = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": True}]}
    word = "caterpillar" * 3
    kept = f"KEPT = '{word}'\n"
    assert sandbox.run(Submission(kept + SCAN, tests)).accepted  # the scan finds what is there
    said = {"mode": "function", "entry_point": "f", "cases": [{"args": [word], "expected": word}]}
    checked = {"mode": "unit", "code": f"assert f('{word}') == '{word}'"}
    for earlier in (said, checked):
        assert sandbox.run(Submission(f"def f(x): print('{word}'); return x", earlier)).accepted
        assert sandbox.run(Submission(SCAN, tests)).verdict == "wrong answer"


FORGERIES = {
    "equal to everything": "class E:\n def __eq__(s, o): return True\ndef f(*a): return E()",
    "an int that equals": "class E(int):\n def __eq__(s, o): return True\n __hash__ = None\ndef f(*a): return E(9)",
    "close to everything": "class E:\n def __sub__(s, o): return 0\n __rsub__ = __sub__\n def __abs__(s): return 0\n"
    " def __lt__(s, o): return True\ndef f(*a): return E()",
    "contains everything": "class E(list):\n def __contains__(s, o): return True\n def __eq__(s, o): return True\n"
    "def f(*a): return E()",
    "exit 0": "import sys\ndef f(*a): sys.exit(0)",
    "exit at once": "import os; os._exit(0)",
    "a printed verdict": 'print(\'{"outcome": "passed", "detail": ""}\')\ndef f(*a): return None',
    "written to every file": "import os\nfor n in range(64):\n"
    ' for t in (b\'{"outcome": "passed", "detail": ""}\\n\', b\'{"value": true}\\n\'):\n'
    "  try: os.write(n, t)\n  except OSError: pass\ndef f(*a): return None",
    "builtins replaced": "import builtins\nbuiltins.AssertionError = None\nbuiltins.abs = lambda x: 0\n"
    "builtins.isinstance = lambda *a: True\nbuiltins.__import__ = None\ndef f(*a): return None",
    "own abs, len and all": "abs = len = lambda x: 0\nall = any = lambda x: True\ndef f(*a): return 9",
    "a check of its own": "def check(candidate): pass\ndef f(*a): return None",
    "frames": "import sys\ndef f(*a):\n frame = sys._getframe()\n while frame:\n"
    "  for v in frame.f_locals.values():\n"
    "   if isinstance(v, dict) and 'expected' in v: return v['expected']\n  frame = frame.f_back",
    "gc": "import gc\ndef f(*a):\n for o in gc.get_objects():\n  if isinstance(o, dict) and 'tests' in o: return 3",
    "json patched": 'import json\njson.dumps = lambda *a, **k: \'{"value": 3, "outcome": "passed"}\'\nf = id',
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(*a): return None",
    "trace": "import sys\nsys.settrace(lambda *a: None)\ndef f(*a): return None",
    "asserts off": "import sys\nsys.flags\n__debug__\ndef f(*a): raise SystemExit(0)",
    "kill the group": "import os\nos.killpg(0, 9)\ndef f(*a): return None",
    "kill all": "import os\nos.kill(-1, 9)\ndef f(*a): return None",
}
UNIT = """
def check(candidate):
    assert candidate(1, 2) == 3
    assert abs(candidate(2, 2) - 4) < 1e-6
    assert 5 in [candidate(2, 3)]

check(f)
"""


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forged_verdict(sandbox, name):
    cases = [{"args": [1, 2], "expected": 3}, {"args": [2, 2], "expected": 4.0}]
    for tests in ({"mode": "unit", "code": UNIT}, {"mode": "function", "entry_point": "f", "cases": cases}):
        judged = sandbox.run(Submission(FORGERIES[name], tests))
        assert judged.verdict not in ("accepted", "sandbox error"), judged
    assert sandbox.run(Submission("def f(a, b): return a + b", {"mode": "unit", "code": UNIT})).accepted


TOLERANT = """
METADATA = {}
from math import isclose as Close

def check(candidate):
    assert all(map(lambda case: abs(candidate(*case) - sum(case)) < 1e-6, [(1, 2), (3, 4)]))
    assert 5 in [candidate(2, 3)] or candidate(2, 3) > 4

check(f)
"""
YES = (
    " def __sub__(s, o): return 0\n def __gt__(s, o): return True\n def __eq__(s, o): return True\n"
    " def __abs__(s): return 0\n def __contains__(s, o): return True\n"
)
UNIT_FORGERIES = {
    "the function is a class": f"class f:\n def __init__(s, *a): pass\n{YES}",
    "a class of the tests' own name": f"class E:\n{YES}\nclass METADATA: pass\nclass Close: pass\n"
    "class Check: pass\ndef f(*a): return E()",
    "an end of the iteration": "def f(*a): raise StopIteration",
    "a class of that kind": "class Mine(StopIteration): pass\ndef f(*a): raise Mine",
    "names it does not have": "import json, os\nfor n in range(3, 64):\n try: os.write(n, json.dumps("
    "{'names': {'f': 'class', 'abs': 'value', 'check': 'value', 'E': 'class'}}).encode() + b'\\n')\n"
    " except OSError: pass\n"
    f"class E:\n{YES}\ndef f(*a): return E()",
    "a module in the folder": "open('math.py', 'w').write('isclose = None')\nopen('/tmp/builtins.py', 'w')\n"
    "def f(*a): return None",
}


@pytest.mark.parametrize("name", UNIT_FORGERIES)
def test_no_pass_where_tests_are_tolerant(sandbox, name):
    short = TOLERANT.replace("    assert 5 in [candidate(2, 3)] or candidate(2, 3) > 4\n", "")
    for code in (TOLERANT, short):
        judged = sandbox.run(Submission(UNIT_FORGERIES[name], {"mode": "unit", "code": code}))
        assert judged.verdict not in ("accepted", "sandbox error"), judged
    assert sandbox.run(Submission("def f(a, b): return a + b", {"mode": "unit", "code": TOLERANT})).accepted


CLASSES = """
import unittest
c = Circle(5)
class Sizes(unittest.TestCase):
    def test_area(self): self.assertAlmostEqual(c.area(), 78.5, places=1)
"""
CLASS_TESTS = {
    "a difference": "assert abs(Circle(5).area() - 78.5) < 0.1",
    "a difference the other way": "assert abs(78.5 - Circle(5).area()) < 0.1",
    "an order": "assert 78 < Circle(5).area() < 79",
    "an order of the object": "c = Circle(5)\nassert c.area() < 79",
    "membership": "assert 78.5 in Circle(5).area()",
    "unittest": CLASSES,
}


@pytest.mark.parametrize("name", CLASS_TESTS)
def test_an_object_in_place_of_data_does_not_judge_itself(sandbox, name):
    forged = f"class Circle:\n def __init__(s, *a): pass\n def area(s): return Circle()\n{YES} __rsub__ = __sub__\n"
    forged += " def __lt__(s, o): return True\n def __round__(s, n=0): return 0\n"
    judged = sandbox.run(Submission(forged, {"mode": "unit", "code": CLASS_TESTS[name]}))
    assert judged.verdict not in ("accepted", "sandbox error"), judged


def test_operators_of_a_tested_class_are_its_own(sandbox):
    program = (
        "class V:\n def __init__(s, x): s.x = x\n def __add__(s, o): return V(s.x + (o.x if isinstance(o, V) else o))\n"
        " def __lt__(s, o): return s.x < (o.x if isinstance(o, V) else o)\n def __eq__(s, o): return s.x == o.x\n"
        " def __abs__(s): return abs(s.x)\n def __contains__(s, o): return o == s.x\n def twice(s): return s + s\n"
    )
    code = "v = V(-2)\nassert v + 1 == V(-1)\nassert v < 0\nassert -2 in v\nassert abs(v.twice()) == 4\n"
    code += "assert (v + v).x == -4"
    assert sandbox.run(Submission(program, {"mode": "unit", "code": code})).accepted


@pytest.mark.slow
def test_jails_end_when_their_owner_is_killed():
    script = (
        "import subprocess, time\n"
        "from ringlite_cli.sandbox import *\n"
        "s = Sandbox(SandboxSettings(workers=1, seconds=60))\n"
        "t = {'mode': 'function', 'entry_point': 'f', 'cases': [{'args': [], 'expected': 1}]}\n"
        "s.submit(Submission('while True: pass', t))\n"
        "time.sleep(0.7)\n"
        "print('running', flush=True); time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert owner.stdout
    assert owner.stdout.readline() == b"running\n"
    inside = _descendants(owner.pid)
    assert len(inside) >= 3  # bubblewrap, its first process, the warm one, the run
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 5
    while any(_alive(pid) for pid in inside) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in inside if _alive(pid)]


def _descendants(pid):
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == pid:
            found += [int(entry.name), *_descendants(int(entry.name))]
    return found


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
