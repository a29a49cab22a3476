"""One jail: bubblewrap around a warm Python process, and the host's end of the socket to it."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.sandbox.cgroup import MemoryGroup
from ringlite_cli.sandbox.view import (
    ENVIRONMENT,
    GUEST,
    SITE,
    SUBMISSION_UID,
    Isolation,
    find_bwrap,
    inside,
    jail_arguments,
    python,
)

_ENTER = """
import os, sys
register, os.register_at_fork = os.register_at_fork, lambda **_: None
sys.path.insert(0, {root!r})
sys.path.append({site!r})
from guest import zygote
zygote.main(register)
"""
_START_SECONDS = 20.0
_WARM_MB = 64  # the warm process, its name spaces, page tables
_FIRST_LOOK_SECONDS, _LOOK_SECONDS = 0.02, 0.2
_FIRST_FREE_UID = 2_000_000


class JailFailed(Exception):
    """The jail did not start, died, or does not answer."""


class Cancelled(Exception):
    """The run was called off from outside."""


class Jail:
    """A running jail. Use from one thread; that thread must outlive it (the jail dies with its parent thread)."""

    def __init__(
        self,
        isolation: Isolation,
        files_mb: int,
        slot: int = 0,
        memory_mb: int = 0,
        packages: Mapping[str, str] | None = None,
        scorers: bool = False,
    ) -> None:
        """memory_mb: of all processes of a run together, where a control group can be had; 0 for no such limit.

        packages: name -> path of what programs may import beside the standard library. scorers: load reasoning-gym's.
        """
        self._packages, self._scorers = packages or {}, scorers
        self.isolation = isolation
        self._group, self._memory_mb = (MemoryGroup.make(slot) if memory_mb else None), memory_mb + _WARM_MB
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        self._scratch = tempfile.mkdtemp(prefix="ringlite-") if isolation.level == "none" else ""
        self._site = self._linked_packages() if isolation.level == "none" else SITE
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
                self._remove_folders()
                raise JailFailed(str(error)) from None
        try:
            self.facts: dict[str, Any] = self._receive(_START_SECONDS)
        except JailFailed:
            log = self.close()
            raise JailFailed(log or "the jail did not start") from None

    def _start(self, theirs: socket.socket, files_mb: int, slot: int) -> subprocess.Popen[bytes]:
        root = "/ringlite" if self.isolation.level != "none" else str(GUEST.parent)
        uid = str(SUBMISSION_UID) if self.isolation.user_ids else "-"
        interpreter = python()[0] if self.isolation.level == "none" else inside(python()[0])
        inner = [interpreter, "-s", "-S", "-P", "-B", "-c", _ENTER.format(root=root, site=self._site)]
        if self._group is not None:
            self._group.limit(self._memory_mb << 20)
        inner += [str(theirs.fileno()), uid, str(files_mb << 20), self._scratch or "/tmp"]
        inner += ["scorers"] if self._scorers else []
        common: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": self._log, "stderr": self._log}
        if self.isolation.level == "none":
            return subprocess.Popen(
                [*self._joining(), *inner],
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                **common,
            )
        outer = jail_arguments(str(find_bwrap()), self.isolation, self._packages)
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
                    Path(f"/proc/{child}/{kind}").write_text(f"0 0 1\n{SUBMISSION_UID} {free} 1\n")
                os.write(go_write, b"1")
            return process
        except OSError:
            process.kill()
            process.wait()
            raise
        finally:
            os.close(info_read)
            os.close(go_write)

    def _linked_packages(self) -> str:
        folder = Path(tempfile.mkdtemp(prefix="ringlite-site-"))
        for name, path in self._packages.items():
            (folder / name).symlink_to(path)
        return str(folder)

    def _remove_folders(self) -> None:
        if self.isolation.level == "none":
            shutil.rmtree(self._scratch, ignore_errors=True)
            shutil.rmtree(self._site, ignore_errors=True)

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
        self._remove_folders()
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
