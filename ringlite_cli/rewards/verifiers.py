"""All verifiers behind one call: routed by the problem, domains side by side, order kept, everything counted."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.rewards.code import verify_code
from ringlite_cli.rewards.logic import verify_logic
from ringlite_cli.rewards.math import verify_math
from ringlite_cli.rewards.pool import MathPool
from ringlite_cli.rewards.science import verify_science
from ringlite_cli.sandbox import Sandbox, SandboxSettings

ROUTES = ("math", "science", "logic", "code")


@dataclass(frozen=True, slots=True)
class VerifierSettings:
    """How responses are verified.

    workers: processes for code, and as many for math. math_timeout: seconds per comparison. code_timeout: seconds per
    run of a program. memory_mb: of a code run's process; math_memory_mb: of a comparison. isolation: the least that
    the sandbox must reach ("full", "partial", "none"). science_tolerance: relative, for numbers in science.
    """

    workers: int = 2
    math_timeout: float = 5.0
    code_timeout: float = 4.0
    memory_mb: int = 512
    math_memory_mb: int = 2048
    isolation: str = "full"
    science_tolerance: float = 0.01

    def sandbox(self) -> SandboxSettings:
        """The sandbox's part of these settings. Raises UserError for values that cannot be."""
        return SandboxSettings(
            workers=self.workers, seconds=self.code_timeout, memory_mb=self.memory_mb, isolation=self.isolation
        )


class Verifiers:
    """Verifies (problem, response) pairs; a context manager, callable from any thread.

    Processes start when the first pair needs them: no code problem, no sandbox. A verdict `error` is ours, has been
    tried twice, gives reward 0 and is counted by that name.
    """

    def __init__(self, settings: VerifierSettings | None = None) -> None:
        self.settings = settings or VerifierSettings()
        self.settings.sandbox()  # faults in the settings show now
        self._math = MathPool(self.settings.workers, self.settings.math_timeout, self.settings.math_memory_mb)
        self._sandbox: Sandbox | None = None
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def __enter__(self) -> "Verifiers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """The verdicts, in the order of the pairs. Raises UserError for a problem that nothing verifies."""
        routes = [route_of(problem) for problem, _ in pairs]
        started = time.monotonic()
        # Math first: its workers and the sandbox's then run at the same time.
        order = sorted(range(len(pairs)), key=lambda i: routes[i] == "code")
        futures: dict[int, Future[Verdict]] = {i: self._start(routes[i], *pairs[i]) for i in order}
        ended: dict[str, float] = {}
        for i in range(len(pairs)):
            futures[i].add_done_callback(lambda _, domain=pairs[i][0].domain: ended.update({domain: time.monotonic()}))  # type: ignore[misc]
        verdicts = [futures[i].result() for i in range(len(pairs))]
        with self._lock:
            for domain, moment in ended.items():
                self._seconds[domain] += moment - started
            self._counts.update(f"{p.domain}/{v.verdict}" for (p, _), v in zip(pairs, verdicts, strict=True))
        return verdicts

    def counts(self) -> dict[str, int]:
        """Verdicts so far, as "domain/verdict"; "math-verify/…" are the comparisons that took algebra."""
        with self._lock:
            return dict(self._counts) | {f"math-verify/{k}": n for k, n in self._math.counts.items()}

    def seconds_by_domain(self) -> dict[str, float]:
        """Wall seconds from the start of a call to a domain's last verdict, summed over calls."""
        with self._lock:
            return dict(self._seconds)

    def close(self) -> None:
        """Ends every worker."""
        self._math.close()
        if self._sandbox is not None:
            self._sandbox.close()

    def _start(self, route: str, problem: Problem, response: str) -> "Future[Verdict]":
        if route == "math":
            return verify_math(problem.answer, response, self._math)
        if route == "science":
            return verify_science(problem.answer, response, self._math, self.settings.science_tolerance)
        if route == "code":
            return verify_code(problem.tests, response, self._code_sandbox())
        future: Future[Verdict] = Future()
        future.set_result(verify_logic(problem.answer, response))
        return future

    def _code_sandbox(self) -> Sandbox:
        with self._lock:
            if self._sandbox is None:
                self._sandbox = Sandbox(self.settings.sandbox())
            return self._sandbox


def route_of(problem: Problem) -> str:
    """The verifier of a problem: its own, else its domain's. Raises UserError where there is none."""
    route = problem.verifier or problem.domain
    if route in ROUTES:
        return route
    raise UserError(
        f"no verifier {route!r} for a problem of domain {problem.domain!r}",
        where=f"problem {problem.id}",
        hint=f"the verifiers are {', '.join(ROUTES)}",
    )
