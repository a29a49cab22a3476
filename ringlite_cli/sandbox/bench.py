"""How many verdicts a second the sandbox gives here, beside bare `subprocess` runs in the same minute."""

import importlib.util
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from ringlite_cli.sandbox.model import SandboxSettings, SandboxVerdict, Submission
from ringlite_cli.sandbox.pool import Sandbox
from ringlite_cli.sandbox.scoring import CONTROL, SCORER_MB, ScorerSandbox, score_submission

PROGRAM = "def total(values):\n    return sum(v * v for v in values)\n"
TESTS: dict[str, Any] = {
    "mode": "function",
    "language": "python",
    "entry_point": "total",
    "cases": [{"args": [list(range(n))], "expected": sum(v * v for v in range(n))} for n in (0, 1, 10, 100)],
}


def bench(settings: SandboxSettings, seconds: float = 5.0) -> dict[str, Any]:
    """Run a short program over and over for `seconds`, all workers busy.

    Returns {"isolation", "workers", "verdicts", "per_second", "p50_ms", "p99_ms" (from submission to verdict, with one
    submission waiting per worker), "accepted", "subprocess_per_second", "ratio_to_subprocess"}, and where
    reasoning-gym is installed "scored_per_second", answers to its task countdown.
    """
    with Sandbox(settings) as sandbox:
        sandbox.run_many([Submission(PROGRAM, TESTS)] * settings.workers * 2)  # warm up
        verdicts, waits, elapsed = saturate(sandbox, seconds)
        isolation = str(sandbox.isolation)
    bare = subprocess_rate(min(2, settings.workers), max(0.5, seconds / 4))
    waits.sort()
    return {
        "isolation": isolation,
        "workers": settings.workers,
        "verdicts": len(verdicts),
        "per_second": len(verdicts) / elapsed,
        "p50_ms": 1000 * waits[len(waits) // 2],
        "p99_ms": 1000 * waits[int(len(waits) * 0.99)],
        "accepted": sum(v.accepted for v in verdicts),
        "subprocess_per_second": bare,
        "ratio_to_subprocess": len(verdicts) / elapsed / bare,
    } | _scorer_rate(settings, max(0.5, seconds / 4))


def _scorer_rate(settings: SandboxSettings, seconds: float) -> dict[str, float]:
    if importlib.util.find_spec("reasoning_gym") is None:
        return {}
    submission = score_submission(*CONTROL)
    with ScorerSandbox(replace(settings, memory_mb=max(settings.memory_mb, SCORER_MB))) as sandbox:
        sandbox.run_many([submission] * settings.workers * 2)
        verdicts, _, elapsed = saturate(sandbox, seconds, submission)
    return {"scored_per_second": sum(v.accepted for v in verdicts) / elapsed}


def saturate(
    sandbox: Sandbox, seconds: float, submission: Submission | None = None
) -> tuple[list[SandboxVerdict], list[float], float]:
    """Keep all workers busy with one submission: the verdicts, the wait for each, and the seconds it took in all."""
    submission = submission or Submission(PROGRAM, TESTS)
    verdicts: list[SandboxVerdict] = []
    waits: list[float] = []
    started = time.monotonic()

    def keep_busy() -> None:
        while time.monotonic() < started + seconds:
            asked = time.monotonic()
            pending: list[Future[SandboxVerdict]] = [sandbox.submit(submission) for _ in range(2)]
            for future in pending:
                verdicts.append(future.result())
                waits.append(time.monotonic() - asked)

    threads = [threading.Thread(target=keep_busy) for _ in range(sandbox.settings.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return verdicts, waits, time.monotonic() - started


def subprocess_rate(threads: int, seconds: float) -> float:
    """`subprocess.run([sys.executable, "-c", ...])` a second, from `threads` threads: no isolation, no verdict."""
    done: list[int] = []
    started = time.monotonic()

    def keep_busy() -> None:
        while time.monotonic() < started + seconds:
            subprocess.run([sys.executable, "-c", PROGRAM], check=True)
            done.append(1)

    workers = [threading.Thread(target=keep_busy) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(done) / (time.monotonic() - started)
