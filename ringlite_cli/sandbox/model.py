"""What the sandbox takes and gives: settings, a submission, a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ringlite_cli import limits
from ringlite_cli.errors import UserError
from ringlite_cli.limits import LEVELS
from ringlite_cli.model_text import remark
from ringlite_cli.sandbox.packages import site_packages

MODES = ("function", "stdin", "unit")

ACCEPTED = "accepted"
WRONG_ANSWER = "wrong answer"
RUNTIME_ERROR = "runtime error"
TIME_LIMIT = "time limit"
MEMORY_LIMIT = "memory limit"
OUTPUT_LIMIT = "output limit"
COMPILE_ERROR = "compile error"
SANDBOX_ERROR = "sandbox error"
VERDICTS = (
    ACCEPTED,
    WRONG_ANSWER,
    RUNTIME_ERROR,
    TIME_LIMIT,
    MEMORY_LIMIT,
    OUTPUT_LIMIT,
    COMPILE_ERROR,
    SANDBOX_ERROR,
)


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Limits of a run, and how isolated it must be.

    workers: jails that run side by side. seconds: CPU time of a run (in mode stdin of each case), of all its threads
    and processes; it may sleep three times as long. memory_mb: address space of a process. processes: processes and
    threads of a run. output_mb: what a run may print. files_mb: what it may keep in its /tmp. isolation: the level
    below which nothing is run ("full", "partial" or "none"). packages: installed distributions that programs may
    import, beside the standard library.
    """

    workers: int = limits.WORKERS
    seconds: float = limits.CODE_SECONDS
    memory_mb: int = limits.CODE_MB
    processes: int = 16
    output_mb: int = 8
    files_mb: int = 32
    isolation: str = limits.ISOLATION
    packages: tuple[str, ...] = limits.PACKAGES

    def __post_init__(self) -> None:
        site_packages(self.packages)
        if self.isolation not in LEVELS:
            raise UserError(
                f"isolation {self.isolation!r} is not one of {', '.join(LEVELS)}", where="rewards.isolation"
            )
        for name, least in {
            "workers": 1,
            "seconds": 0.01,
            "memory_mb": 64,
            "processes": 1,
            "output_mb": 1,
            "files_mb": 1,
        }.items():
            if not getattr(self, name) >= least:
                raise UserError(f"{name} must be at least {least}, not {getattr(self, name)}", where="sandbox settings")


@dataclass(frozen=True, slots=True)
class Submission:
    """A program and the tests that judge it.

    tests: {"mode": "function" | "stdin" | "unit", "language"?, "entry_point"?, "cases"?, "code"?}; a case is
    {"args", "expected"} or {"input", "output"}; `code` is run against the program and must raise nothing.
    seconds: a CPU limit other than the settings'.
    """

    program: str
    tests: Mapping[str, Any]
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class SandboxVerdict:
    """What came of a submission.

    `failed_case` counts from 0; `seconds` is the wall time of its runs together; `detail` is bounded. `score` is what
    a scorer of reasoning-gym gave, from 0 to 1.
    """

    verdict: str
    seconds: float = 0.0
    detail: str = ""
    failed_case: int | None = None
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    stderr: str = field(default="", repr=False)
    score: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", remark(self.detail))

    @property
    def accepted(self) -> bool:
        """Return whether every test passed."""
        return self.verdict == ACCEPTED
