"""The warm process of a jail: it forks once per run, waits, kills, cleans up, and never reads what is run.

Programs, inputs and tests arrive as open files (memfd) that it hands on unread, so that nothing of one run is in the
memory that the next run inherits. Every child leads a PID name space of its own: it cannot name this process or any
other run's, and whatever it leaves behind dies with it. Its files die with its /tmp.
"""

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


class Zygote:
    """Serves runs over `control`, one at a time, until the other end closes."""

    def __init__(self, control: socket.socket, uid: int | None, tmp_bytes: int, folder: str) -> None:
        self.control, self.uid, self.tmp_bytes, self.folder = control, uid, tmp_bytes, folder
        self.jailed = folder == "/tmp"
        self.myself = os.pidfd_open(os.getpid())
        lock.undumpable()
        self.own_pids = self.jailed and self._can_isolate_pids()
        self.own_tmp = self.jailed and self._mount_tmp()
        if uid is not None:
            lock.share_group(uid)
        lock.set_limits({"core": 0})
        lock.filter_calls()
        child.prepare()

    def serve(self) -> None:
        """Answers requests until the control socket closes."""
        facts = {"pids": self.own_pids, "tmp": self.own_tmp, "filter": lock.has_filter(), "uid": self.uid}
        self.control.send(json.dumps(facts).encode())
        gc.collect()
        gc.freeze()
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
        self._clean_tmp()
        return {"wall": time.monotonic() - started, **ended}

    def _fork(self, role: str, limits: dict[str, int], files: dict[str, int]) -> int:
        if self.own_pids and lock.libc.unshare(lock.CLONE_NEWPID) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        pid = os.fork()
        if pid == 0:
            try:
                child.main(role, limits, files, self.uid, self.folder)
            finally:
                os._exit(child.EXIT_HARNESS)
        if self.own_pids and lock.libc.setns(self.myself, lock.CLONE_NEWPID) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        return pid

    def _wait(self, children: dict[int, int], deadline: float) -> dict[str, Any]:
        """Waits for the last child of the run (the one that judges, or the only one); then ends them all."""
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
                if not self.control.recv(65536):
                    self._end(children)
                    os._exit(0)
                killed = "cancel"
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
        """Without a PID name space per run: what its children lead; in a jail, all but the first two."""
        for leader in leaders:
            try:
                os.killpg(leader, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self.jailed and os.getpid() < 10:  # never outside: in a container low numbers are anybody's
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                return

    def _can_isolate_pids(self) -> bool:
        if lock.libc.unshare(lock.CLONE_NEWPID) != 0:
            return False
        return lock.libc.setns(self.myself, lock.CLONE_NEWPID) == 0

    def _mount_tmp(self) -> bool:
        options = f"size={self.tmp_bytes},nr_inodes=4096,mode=1777".encode()
        return lock.libc.mount(b"tmpfs", b"/tmp", b"tmpfs", lock.TMPFS_FLAGS, options) == 0

    def _clean_tmp(self) -> None:
        if self.folder != "/tmp":
            for name in os.listdir(self.folder):
                _remove(os.path.join(self.folder, name))
        elif self.own_tmp and os.listdir("/tmp"):
            lock.libc.umount2(b"/tmp", lock.MNT_DETACH)
            if not self._mount_tmp():
                os._exit(1)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        os.unlink(path)


def main(register_at_fork: Callable[..., None]) -> None:
    """Entry point: argv is the control socket's number, the child's user id or '-', /tmp bytes, the folder that
    programs run in (/tmp in a jail), and "scorers" in a jail for these.

    Up to here `os.register_at_fork` did nothing: modules ask to be mended in every child, for threads that this process
    does not have and random seeds that shall stay as they are. From here on it is itself, for the programs.
    """
    number, uid, tmp_bytes, folder, *more = sys.argv[1:]
    os.environ.pop("LD_BIND_NOW", None)
    for name in PRELOAD.split():
        __import__(name)
    if "scorers" in more:
        scoring.warm()
    os.register_at_fork = register_at_fork
    sys.setrecursionlimit(1000)
    control = socket.socket(fileno=int(number))
    os.set_inheritable(int(number), False)
    Zygote(control, None if uid == "-" else int(uid), int(tmp_bytes), folder).serve()
