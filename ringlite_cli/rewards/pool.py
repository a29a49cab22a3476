"""A pool of processes that compare answers: a clock per check, a stuck worker killed, results cached, all counted."""

import contextlib
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from ringlite_cli import limits
from ringlite_cli.own_code import VARIABLE
from ringlite_cli.problems import Verdict

_WORKER = Path(__file__).parent / "reward_worker.py"
_START_SECONDS = 120.0
MODEL_MB = 65_536
"""Address space of a worker that loads what a reward of the user's own loads."""
_CACHE = 65_536

_Key = tuple[tuple[str, ...], str, float]
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR", VARIABLE)
_KEPT_FOR_MODELS = ("CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")


def worker_environment(kind: str) -> dict[str, str]:
    """Return what a worker that reads model text gets of the environment: where things lie, and no key or token."""
    kept = _KEPT if kind in ("math", "rouge") else (*_KEPT, *_KEPT_FOR_MODELS)
    return {name: os.environ[name] for name in kept if name in os.environ} | {"OMP_NUM_THREADS": "1"}


class _Worker:
    """One worker process and the pipes to it."""

    def __init__(self, memory_mb: int, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), str(memory_mb << 20), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the parent's to handle
            env=worker_environment(kind),
        )
        assert self._process.stdin
        assert self._process.stdout
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        if self._read(_START_SECONDS) != b"ready\n":
            self.close()
            raise OSError(f"the {kind} worker did not start (is its package installed?)")

    def check(self, golds: tuple[str, ...], answer: str, tolerance: float, seconds: float) -> tuple[str, str]:
        """(verdict, detail). Raises OSError when the worker is gone."""
        line = (
            json.dumps({"golds": golds, "answer": answer, "tolerance": tolerance, "seconds": seconds}).encode() + b"\n"
        )
        view = memoryview(line)
        while view:
            view = view[os.write(self._to, view) :]
        reply = json.loads(self._read(seconds + 5.0))
        return reply["verdict"], reply["detail"]

    def _read(self, seconds: float) -> bytes:
        text, deadline = b"", time.monotonic() + seconds
        while not text.endswith(b"\n"):
            if not select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise OSError("the math worker does not answer")
            part = os.read(self._from, 1 << 16)
            if not part:
                raise OSError("the math worker ended")
            text += part
        return text

    def close(self) -> None:
        """Close its input, on which it and its child end."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert pipe
                pipe.close()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def then(asked: "Future[Verdict]", make: Callable[["Future[Verdict]"], Verdict]) -> "Future[Verdict]":
    """Return what `make` makes of a verdict that is on its way. Called off meanwhile, it stays so."""
    future: Future[Verdict] = Future()

    def finish(made: "Future[Verdict]") -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(make(made))
        except Exception as error:
            future.set_exception(error)

    asked.add_done_callback(finish)
    return future


class RewardPool:
    """Compares answers in `workers` processes. Workers start at the first check; call from any thread.

    kind: "math" (the reader of answers), "rouge", or `module:object` (a reward of the user's own).
    """

    def __init__(
        self,
        workers: int = limits.WORKERS,
        seconds: float = limits.MATH_SECONDS,
        memory_mb: int = limits.MATH_MB,
        kind: str = "math",
    ) -> None:
        self._kind = kind
        self._seconds, self._memory_mb, self._size = seconds, memory_mb, workers
        self._jobs: queue.SimpleQueue[tuple[_Key, Future[Verdict]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._cache: OrderedDict[_Key, Future[Verdict]] = OrderedDict()
        self._closed = False
        self.counts: Counter[str] = Counter()

    def submit(self, golds: list[str], answer: str, tolerance: float = 0.0) -> "Future[Verdict]":
        """Return the verdict on `answer` (the content of a box) given the alternatives. Equal questions are asked once.

        tolerance: relative, of numbers in science.
        """
        key = (tuple(golds), answer, tolerance)
        with self._lock:
            if self._closed:
                raise RuntimeError("the reward pool is closed")
            found = self._cache.get(key)
            if found is not None and not found.cancelled():
                self._cache.move_to_end(key)
                self.counts["cached"] += 1
                return found
            future: Future[Verdict] = Future()
            self._cache[key] = future
            if len(self._cache) > _CACHE:
                self._cache.popitem(last=False)
            if len(self._threads) < self._size:
                self._threads.append(threading.Thread(target=self._work, name="read-answers", daemon=True))
                self._threads[-1].start()
        self._jobs.put((key, future))
        return future

    def close(self) -> None:
        """End the workers; checks still queued get the verdict `error`."""
        with self._lock:
            self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None and job[1].set_running_or_notify_cancel():
                    job[1].set_result(Verdict("error", 0.0, 0.0, "the pool was closed"))
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        worker: _Worker | None = None
        while (job := self._jobs.get()) is not None:
            key, future = job
            if not future.set_running_or_notify_cancel():
                continue
            started = time.monotonic()
            verdict, worker = self._check(worker, key)
            verdict = replace(verdict, seconds=time.monotonic() - started)
            with self._lock:
                self.counts[verdict.verdict] += 1
                if verdict.verdict == "error":
                    self._cache.pop(key, None)
            future.set_result(verdict)
        if worker is not None:
            worker.close()

    def _check(self, worker: _Worker | None, key: _Key) -> tuple[Verdict, _Worker | None]:
        """Ask a worker, and a fresh one once more when that one failed."""
        reason = ""
        for _ in range(2):
            try:
                worker = worker or _Worker(self._memory_mb, self._kind)
                verdict, reason = worker.check(*key, self._seconds)
                if verdict != "error":
                    return Verdict(verdict, float(verdict == "correct"), 0.0, reason), worker
            except (OSError, ValueError) as error:
                reason = str(error)
                if worker is not None:
                    worker.close()
                    worker = None
        return Verdict("error", 0.0, 0.0, f"{self._kind} worker: {reason}"), worker
