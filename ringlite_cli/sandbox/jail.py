"""One jail: bubblewrap around a warm Python process, and the host's end of the socket to it."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ringlite_cli.sandbox import usage
from ringlite_cli.sandbox.cgroup import MemoryGroup
from ringlite_cli.sandbox.starting import START_SECONDS, Place, start
from ringlite_cli.sandbox.view import SITE, Isolation

_WARM_MB = 64  # the warm process, its name spaces, page tables
_FIRST_LOOK_SECONDS, _LOOK_SECONDS = 0.02, 0.2
_UNWATCHED_SECONDS = 0.1  # most runs end before it, and looking costs more than they do


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
        self._scratch = _scratch() if isolation.level == "none" else ""
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
            self.facts: dict[str, Any] = self._receive(START_SECONDS)
        except JailFailed:
            log = self.close()
            raise JailFailed(log or "the jail did not start") from None
        self._warm = [self._process.pid, *usage.descendants(self._process.pid)][-1]  # its process, seen from here

    def _start(self, theirs: socket.socket, files_mb: int, slot: int) -> "subprocess.Popen[bytes]":
        joining: list[str] = []
        if self._group is not None:
            self._group.limit(self._memory_mb << 20)
            joining = self._group.join()
        place = Place(slot, files_mb, self._site, self._scratch, self._packages, joining, self._scorers)
        common: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": self._log, "stderr": self._log}
        return start(self.isolation, place, theirs.fileno(), common)

    def _linked_packages(self) -> str:
        folder = Path(tempfile.mkdtemp(prefix="ringlite-site-"))
        folder.chmod(0o755)
        for name, path in self._packages.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).symlink_to(path)
        return str(folder)

    def _remove_folders(self) -> None:
        """Remove folders of level `none`, by tools that neither depth nor a closed folder stops."""
        if self.isolation.level == "none":
            for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
                subprocess.run([*command, "--", self._scratch, self._site], stderr=subprocess.DEVNULL, check=False)

    def run(
        self, request: dict[str, Any], files: list[int], bounds: usage.Bounds, enough: Callable[[], bool] | None = None
    ) -> dict[str, Any]:
        """One run: the zygote's reply, "cpu" in it being the seconds of all its processes as far as they are known.

        Raises JailFailed when no reply comes, Cancelled after `cancel`. enough: asked now and then; the run is ended
        early when it says so.
        """
        if self._group is not None:
            self._group.was_exceeded()  # by an earlier run
            bounds = replace(bounds, resident=False)
        wall = bounds.wall if usage.tells_children() else bounds.blind_wall
        with self._sending:
            if self._called_off:
                raise Cancelled
            try:
                socket.send_fds(self._socket, [json.dumps({**request, "wall": wall}).encode()], files)
            except OSError as error:
                raise JailFailed(f"the jail is gone ({error})") from None
        started = time.monotonic()
        watch = usage.Watch(self._warm, bounds, started) if usage.tells_children() else None
        self._attend(watch, enough, started, started + wall + 5.0)
        reply = self._receive(max(1.0, started + wall + 5.0 - time.monotonic()))
        if self._called_off:
            raise Cancelled
        ended = sum(child["cpu"] for child in reply["children"])
        return {**reply, "cpu": max(ended, watch.cpu if watch else 0.0)}

    def _attend(
        self, watch: usage.Watch | None, enough: Callable[[], bool] | None, started: float, deadline: float
    ) -> None:
        """Wait for the reply, and stop the run when it has used what it may or when there is `enough` of it."""
        pause = _FIRST_LOOK_SECONDS
        while not self._ready(pause) and (now := time.monotonic()) < deadline:
            reason = "cancel" if enough is not None and enough() else ""
            if watch is not None and (watch.counts_memory or now > started + _UNWATCHED_SECONDS):
                reason = reason or watch.look(now)
            if reason:
                return self._send_stop(reason)
            pause = min(2 * pause, _LOOK_SECONDS)
        return None

    def ran_out_of_memory(self) -> bool:
        """Return whether the last run met the memory limit of its control group (where there is one)."""
        return self._group is not None and self._group.was_exceeded()

    @contextlib.contextmanager
    def more_memory(self, megabytes: int) -> Iterator[None]:
        """Let the runs inside take that much more together (a compiler, a JVM)."""
        if self._group is not None:
            self._group.limit((self._memory_mb + megabytes) << 20)
        yield
        if self._group is not None:
            self._group.limit(self._memory_mb << 20)

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
        """End the running run, and every later one until `resume`; safe from another thread."""
        with self._sending:
            self._called_off = True
            self._send_stop("cancel")

    def resume(self) -> None:
        """Take runs again after a `cancel`."""
        with self._sending:
            self._called_off = False

    def _send_stop(self, reason: str) -> None:
        with contextlib.suppress(OSError):
            self._socket.send(json.dumps({"cancel": reason}).encode())

    def close(self) -> str:
        """End the jail and everything in it; return what it wrote to its log."""
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


def _scratch() -> str:
    """A folder for the folders of runs, which a run may pass but not list."""
    folder = tempfile.mkdtemp(prefix="ringlite-")
    os.chmod(folder, 0o711)
    return folder
