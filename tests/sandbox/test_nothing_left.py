"""What one run does, the next run in the same warm jail can't see: it would learn hidden answers from run to run."""

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, isolation_level

pytestmark = pytest.mark.skipif(isolation_level().level != "full", reason=f"isolation here is {isolation_level()}")

HEAD = """
import ctypes, fcntl, json, os, resource, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def said(number):
    return -ctypes.get_errno() if number < 0 else number
"""
# name: (what a run does to tell the next, what the next looks at)
CHANNELS = {
    "inode counter": (
        "for n in range(100): open(f'/tmp/{n}', 'w').close(); os.unlink(f'/tmp/{n}')",
        "open('/tmp/a', 'w').close(); return os.stat('/tmp/a').st_ino",
    ),
    "inode counter of a full /tmp": (
        "for n in range(4090): os.mkdir(f'/tmp/{n}')",
        "return os.stat('/tmp').st_ino, os.statvfs('/tmp').f_ffree",
    ),
    "attributes": (
        "os.setxattr('/tmp', 'user.n', b'1'); open('/tmp/a', 'w').close(); os.setxattr('/tmp/a', 'user.n', b'1')",
        "return os.listxattr('/tmp'), os.path.exists('/tmp/a')",
    ),
    "times of /tmp": ("os.utime('/tmp', (7, 7))", "return os.stat('/tmp').st_mtime < 10"),
    "mode of /tmp": ("os.chmod('/tmp', 0)", "return os.stat('/tmp').st_mode"),
    "bytes": (
        "open('/tmp/a', 'wb').write(bytes(9 << 20))",
        "return os.listdir('/tmp'), os.statvfs('/tmp').f_bavail",
    ),
    "times of devices": (
        "[os.utime(f'/dev/{n}') for n in os.listdir('/dev')]",
        "return sorted((n, os.stat(f'/dev/{n}').st_mtime_ns, os.stat(f'/dev/{n}').st_atime_ns)"
        " for n in os.listdir('/dev'))",
    ),
    "times of folders": (
        "[os.utime(place) for place in ('/', '/dev', '/usr', '/usr/bin', '/ringlite')]",
        "return [os.stat(place).st_mtime_ns for place in ('/', '/dev', '/usr', '/usr/bin', '/ringlite')]",
    ),
    "process numbers": (
        "for _ in range(50):\n    if os.fork() == 0: os._exit(0)\n    os.wait()",
        "pid = os.fork()\nif pid == 0: os._exit(0)\nreturn os.getpid(), os.getppid(), pid, os.getsid(0), os.getpgid(0)",
    ),
    "a process that stays": (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(60)\n    os._exit(0)",
        "found = []\nfor pid in range(2, 99):\n    try: found.append(os.kill(pid, 0))\n    except OSError: pass\n"
        "return found",
    ),
    "priority": (
        "os.setpriority(os.PRIO_PROCESS, 0, 5); os.setpriority(os.PRIO_USER, 0, 7)",
        "return os.getpriority(os.PRIO_PROCESS, 0)",
    ),
    "processors": ("os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})", "return list(os.sched_getaffinity(0))"),
    "limits and mask": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); os.umask(0o777)",
        "return os.umask(0), [resource.getrlimit(k) for k in range(16)]",
    ),
    "environment and folder": (
        "os.environ['A'] = '1'; libc.setenv(b'B', b'1', 1); os.mkdir('/tmp/a'); os.chdir('/tmp/a')",
        "return dict(os.environ), os.getcwd()",
    ),
    "the warm process's modules": (
        "json.dumps = None; sys.modules['math'].pi = 3; sys.setrecursionlimit(77); sys.path.append('/tmp')",
        "return str(json.dumps)[:9], sys.modules['math'].pi, sys.getrecursionlimit(), sys.path",
    ),
    "a name of a socket": (
        "if os.fork() == 0:\n    s = socket.socket(socket.AF_UNIX); s.bind('\\0left'); s.listen(); time.sleep(60)",
        "s = socket.socket(socket.AF_UNIX)\ntry: return s.connect('\\0left')\nexcept OSError as e: return e.errno",
    ),
    "names that the kernel counts up": (
        "[said(libc.bind(socket.socket(socket.AF_UNIX).fileno(), b'\\1\\0', 2)) for _ in range(9)]",
        "s = socket.socket(socket.AF_UNIX); bound = said(libc.bind(s.fileno(), b'\\1\\0', 2))\n"
        "return bound, str(s.getsockname())",
    ),
    "cookies of sockets": (
        "[socket.socket(socket.AF_UNIX).getsockopt(1, 57, 8) for _ in range(9)]",
        "try: return socket.socket(socket.AF_UNIX).getsockopt(1, 57, 8).hex()\nexcept OSError as e: return e.errno",
    ),
    "shared memory and queues": (
        "libc.shmget(7, 4096, 0o1666); libc.msgget(7, 0o1666); libc.semget(7, 1, 0o1666)\n"
        "libc.syscall(240, b'left', os.O_CREAT | os.O_RDWR, 0o666, None)",
        "return [said(f) for f in (libc.shmget(7, 0, 0), libc.msgget(7, 0), libc.semget(7, 0, 0),"
        " libc.syscall(240, b'left', os.O_RDWR, 0, None), libc.syscall(69, 0, b'12345678a', 1, 2048))]",
    ),
    "keys": ("libc.syscall(248, b'user', b'left', b'1', 1, -4)", "return said(libc.syscall(250, 0, -4, 0))"),
    "locks": (
        "if os.fork() == 0:\n    f = open('/usr/bin/env'); fcntl.flock(f, fcntl.LOCK_EX); time.sleep(60)",
        "f = open('/usr/bin/env')\ntry: return fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except OSError as e: return e.errno",
    ),
    "input and output priority": (
        "libc.syscall(251, 3, os.getuid(), 3 << 13 | 7); libc.syscall(251, 1, 0, 2 << 13 | 5)",
        "return [libc.syscall(252, kind, who) for kind, who in ((1, 0), (2, 0), (3, os.getuid()))]",
    ),
    "names, slack, timers": (
        "libc.prctl(15, b'marked', 0, 0, 0); libc.prctl(29, 777777, 0, 0, 0); signal.setitimer(signal.ITIMER_REAL, 5)",
        "name = ctypes.create_string_buffer(16); libc.prctl(16, name, 0, 0, 0)\n"
        "return name.value, libc.prctl(30, 0, 0, 0, 0), signal.getitimer(signal.ITIMER_REAL)",
    ),
    "times of reading": (
        "open('/usr/bin/env', 'rb').read(); os.listdir('/usr/share'); os.readlink('/bin')",
        "return [os.lstat(p).st_atime_ns for p in ('/usr/bin/env', '/usr/share', '/bin', '/ringlite/guest/child.py')]",
    ),
    "memory by a file's name": (
        "open('/dev/shm/left', 'w')",
        "return os.path.exists('/dev/shm'), os.path.exists('/dev/mqueue')",
    ),
    "which pages are in memory": (
        "libc.posix_fadvise(os.open('/usr/bin/env', 0), 0, 0, 4)",
        "return [said(libc.syscall(nr, *args)) for nr, args in"
        " ((221, (0, 0, 0, 4)), (27, (0, 0, 0)), (451, (0, 0, 0, 0)), (327, (0, 0, 0, 0, 0, 8)), (187, (0, 0, 0)))]",
    ),
}


def program(body):
    return HEAD + "def f():\n" + "\n".join("    " + line for line in body.splitlines())


SETTINGS = SandboxSettings(workers=1, seconds=1.0, memory_mb=256, files_mb=16)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SETTINGS) as opened:
        yield opened


def seen(sandbox, look):
    tests = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": "never"}]}
    judged = sandbox.run(Submission(program(look), tests))
    assert judged.verdict == "wrong answer", judged
    return judged.detail


def looks_around(sandbox, mark, look):
    before = seen(sandbox, look)
    marked = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": None}]}
    assert sandbox.run(Submission(program(mark), marked)).verdict != "sandbox error"
    return before, seen(sandbox, look)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_second_run_sees_what_the_first_saw(sandbox, channel):
    mark, look = CHANNELS[channel]
    before, after = looks_around(sandbox, mark, look)
    assert after == before


def test_the_number_of_tmp_is_the_same_after_a_run_that_filled_it():
    """The machine numbers the mounts of all its processes, so another's may change it: then once more, from nothing."""
    mark = CHANNELS["inode counter of a full /tmp"][0]
    found = []
    for _ in range(5):
        with Sandbox(SETTINGS) as opened:
            found.append(looks_around(opened, mark, "return os.stat('/tmp').st_dev"))
        if found[-1][0] == found[-1][1]:
            return
    raise AssertionError(found)


LEARNER = """
import os
x, N = int(input()), 3
def fresh():
    open("/tmp/a", "w").close(); n = os.stat("/tmp/a").st_ino; os.unlink("/tmp/a"); return n
M = 8 << 2 * N
c = fresh()
table, seen, last = c % M & 7, c % M >> N & 7, c % M >> 2 * N
if seen >> x & 1: table, seen = table ^ 1 << last, 0
for _ in range((table | (seen | 1 << x) << N | x << 2 * N) - c - 1 & M - 1): fresh()
print("yes" if table >> x & 1 else "no")
"""


def test_a_program_that_counts_inodes_learns_no_hidden_answer(sandbox):
    """It keeps a table of answers in the number of files made so far, and turns over the one that failed last."""
    cases = [{"input": f"{n}\n", "output": said} for n, said in enumerate(("no\n", "yes\n", "yes\n"))]
    asked = Submission(LEARNER, {"mode": "stdin", "cases": cases})
    assert [sandbox.run(asked).verdict for _ in range(8)] == ["wrong answer"] * 8
