"""The warm process of a jail: it forks once per run, waits, kills, cleans up, and never reads what is run.

Programs, inputs and tests arrive as open files (memfd) that it hands on unread, so that nothing of one run is in the
memory that the next run inherits. Every child leads a PID name space of its own: it cannot name this process or any
other run's, and whatever it leaves behind dies with it. Its files die with its /tmp, and so do the counters, times and
attributes of that file system: it is mounted anew after every run, whatever the run did, while the answer is on its
way (mounting takes 25 us, unmounting 110 to 220 us, most of it waiting).
"""

import contextlib
import ctypes
import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from . import child, lock, scoring

PRELOAD = """
encodings.idna array bisect collections copy dataclasses datetime decimal enum fractions functools heapq io itertools
json math operator dis queue random re statistics string struct threading traceback types typing unittest
"""

_LAST_BREATH_MS = 500
_MOST_COLLECTIONS = 512


class Zygote:
    """Serves runs over `control`, one at a time, until the other end closes."""

    def __init__(
        self, control: socket.socket, uid: int | None, tmp_bytes: int, folder: str, reads_all: bool = False
    ) -> None:
        self.control, self.uid, self.tmp_bytes, self.folder = control, uid, tmp_bytes, folder
        self.jailed, self.reads_all = folder == "/tmp", reads_all
        self.myself = os.pidfd_open(os.getpid())
        self.told = bytearray(512)  # always the same: what is allocated in some runs alone shows in the next one's heap
        lock.undumpable()
        lock.adopt_orphans()
        self.own_pids = self.jailed and self._can_isolate_pids()
        self.own_tmp = self.jailed and self._mount_tmp()
        self.still = self.jailed and all(lock.make_read_only(f"/dev/{name}") for name in os.listdir("/dev"))
        self.place = self.folder if self.own_tmp else self._new_folder()
        if uid is not None:
            lock.share_group(uid)
        lock.set_limits({"core": 0})
        lock.filter_calls()
        child.prepare()

    def serve(self) -> None:
        """Answer requests until the control socket closes."""
        facts = {"pids": self.own_pids, "tmp": self.own_tmp, "filter": lock.has_filter(), "uid": self.uid}
        facts["devices"] = self.still
        self.control.send(json.dumps(facts).encode())
        gc.collect()
        gc.freeze()
        for _ in range(int.from_bytes(os.urandom(2)) % _MOST_COLLECTIONS):
            gc.collect()  # from here on once a run: a program that asks how often must not learn how many ran before
        while True:
            message, files, _, _ = socket.recv_fds(self.control, 65536, 16)
            if not message:
                return
            request = json.loads(message)
            if "cancel" in request:  # it came after the run's end
                continue
            try:
                reply = self._run(request, files)
            finally:
                for file in files:
                    os.close(file)
            self.control.send(json.dumps(reply).encode())
            del message, files, request, reply
            self._renew_tmp()
            gc.collect()  # empties free lists, whose order would tell the next run how this one ended

    def _run(self, request: dict[str, Any], files: list[int]) -> dict[str, Any]:
        """One run. `request["roles"]` lists the children: {"role", "files": {name: position in `files`}}."""
        link = socket.socketpair() if len(request["roles"]) > 1 else ()
        started = time.monotonic()
        children: dict[int, int] = {}  # pidfd -> pid
        try:
            for place, role in enumerate(request["roles"]):
                named = {name: files[position] for name, position in role["files"].items()}
                if link:
                    named["link"] = link[place].fileno()
                pid = self._fork(role["role"], request["limits"], named)
                children[os.pidfd_open(pid)] = pid
        finally:
            for end in link:
                end.close()
        ended = self._wait(children, started + request["wall"])
        return {"wall": time.monotonic() - started, **ended}

    def _fork(self, role: str, limits: dict[str, int], files: dict[str, int]) -> int:
        if self.own_pids and lock.libc.unshare(lock.CLONE_NEWPID) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        pid = os.fork()
        if pid == 0:
            try:
                child.main(role, limits, files, self.uid, self.place, self.reads_all)
            finally:
                os._exit(child.EXIT_HARNESS)
        if self.own_pids and lock.libc.setns(self.myself, lock.CLONE_NEWPID) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        return pid

    def _wait(self, children: dict[int, int], deadline: float) -> dict[str, Any]:
        """Wait for the last child of the run (the one that judges, or the only one); then end them all."""
        waited = select.poll()
        last = list(children)[-1]
        waited.register(last, select.POLLIN)
        waited.register(self.control, select.POLLIN)
        killed = ""
        while True:
            left = deadline - time.monotonic()
            ready = [fd for fd, _ in waited.poll(max(0.0, left) * 1000)]
            if last in ready:
                self._let_others_end(list(children)[:-1], last)
                break
            if self.control.fileno() in ready:
                size = self.control.recv_into(self.told)
                if not size:
                    self._end(children)
                    os._exit(0)
                killed = str(json.loads(self.told[:size])["cancel"])
                break
            if left <= 0:
                killed = "wall"
                break
        return {"killed": killed, "children": self._end(children)}

    def _let_others_end(self, others: list[int], last: int) -> None:
        """Where tests found the program gone, how it ended is the verdict, and its end may still be under way."""
        ended = os.waitid(os.P_PIDFD, last, os.WEXITED | os.WNOWAIT)
        if ended is None or ended.si_status != child.EXIT_GONE:
            return
        for pidfd in others:
            waited = select.poll()
            waited.register(pidfd, select.POLLIN)
            waited.poll(_LAST_BREATH_MS)

    def _end(self, children: dict[int, int]) -> list[dict[str, Any]]:
        ends = []
        for pidfd, pid in children.items():
            finished, status, usage = os.wait4(pid, os.WNOHANG)
            if not finished:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                _, status, usage = os.wait4(pid, 0)
            os.close(pidfd)
            ends.append({"status": status, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss * 1024})
        if not self.own_pids:
            self._kill_leftovers(children.values())
        return ends

    def _kill_leftovers(self, leaders: Iterable[int]) -> None:
        """Without a PID name space per run: what its children lead, and what they left to this process."""
        for leader in leaders:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, signal.SIGKILL)
        if self.uid is not None:
            self._kill_user(self.uid)
        elif self.jailed and os.getpid() < 10:  # never outside: in a container low numbers are anybody's
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        self._reap()

    def _kill_user(self, uid: int) -> None:
        """End every process of the user that runs are: nobody else is that user."""
        pid = os.fork()
        if pid == 0:
            try:
                os.setresuid(uid, uid, uid)
                os.kill(-1, signal.SIGKILL)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

    def _reap(self) -> None:
        """Ends and waits for orphans, where /proc tells which they are."""
        while left := _children():
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            for pid in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _can_isolate_pids(self) -> bool:
        """Whether two runs, one after the other, get a PID name space each: tried in a child, which may be left odd."""
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(0 if all(_leads_name_space() for _ in range(2)) else 1)
            finally:
                os._exit(1)
        return os.waitpid(pid, 0)[1] == 0

    def _mount_tmp(self) -> bool:
        options = f"size={self.tmp_bytes},nr_inodes=4096,mode=1777".encode()
        return lock.libc.mount(b"tmpfs", b"/tmp", b"tmpfs", lock.TMPFS_FLAGS, options) == 0

    def _renew_tmp(self) -> None:
        """Give the next run a /tmp that no run has seen, always in the same way: what differs would tell of this one.

        Without mounts, a new folder of an unforeseeable name; what can't be removed stays in the old one.
        """
        if not self.jailed:
            _remove(self.place)
            self.place = self._new_folder()
        elif self.own_tmp and (lock.libc.umount2(b"/tmp", lock.MNT_DETACH) != 0 or not self._mount_tmp()):
            os._exit(1)

    def _new_folder(self) -> str:
        if self.jailed:
            return self.folder  # nothing can be written there
        place = os.path.join(self.folder, os.urandom(8).hex())
        os.mkdir(place, 0o700)
        if self.uid is not None:
            os.chown(place, self.uid, self.uid)
        return place


def _leads_name_space() -> bool:
    """Return whether a child can lead a PID name space while this process comes back to its own. Raises OSError."""
    myself = os.pidfd_open(os.getpid())
    if lock.libc.unshare(lock.CLONE_NEWPID) != 0:
        return False
    pid = os.fork()
    if pid == 0:
        os._exit(0 if os.getpid() == 1 else 1)
    led = os.waitpid(pid, 0)[1] == 0
    return lock.libc.setns(myself, lock.CLONE_NEWPID) == 0 and led


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as told:
            return [int(number) for number in told.read().split()]
    except OSError:
        return []


def _remove(folder: str) -> None:
    """Remove a folder and what is in it, as far as this process may; opened first where its owner has closed it.

    What lies too deep stays until the jail is closed; no run can list the folder that it lies in.
    """
    with contextlib.suppress(OSError, RecursionError):
        os.chmod(folder, 0o700)
        _open_folders(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _open_folders(folder: str) -> None:
    for place, folders, _ in os.walk(folder):
        for path in (os.path.join(place, name) for name in folders):
            if not os.path.islink(path):  # what it leads to is not the run's
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)


def main(register_at_fork: Callable[..., None]) -> None:
    """Entry point: argv is the control socket's number, the child's user id or '-', /tmp bytes, the folder that
    programs run in (/tmp in a jail), "1" where they may read closed folders, and "scorers" in a jail for these.

    Up to here `os.register_at_fork` did nothing: modules ask to be mended in every child, for threads that this process
    does not have and random seeds that shall stay as they are. From here on it is itself, for the programs.
    """
    number, uid, tmp_bytes, folder, reads_all, *more = sys.argv[1:]
    os.environ.pop("LD_BIND_NOW", None)
    for name in PRELOAD.split():
        __import__(name)
    if "scorers" in more:
        scoring.warm()
    os.register_at_fork = register_at_fork
    sys.setrecursionlimit(1000)
    control = socket.socket(fileno=int(number))
    os.set_inheritable(int(number), False)
    Zygote(control, None if uid == "-" else int(uid), int(tmp_bytes), folder, reads_all == "1").serve()
