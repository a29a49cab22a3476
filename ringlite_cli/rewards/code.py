"""Code: the last complete code block of a response, against the problem's tests, in the sandbox. All or nothing.

Paper §3.3: 1 only if every test passes, else 0.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.rewards.extract import last_code_block
from ringlite_cli.rewards.math import done
from ringlite_cli.sandbox import Sandbox, SandboxVerdict, Submission
from ringlite_cli.sandbox.languages import CPP, JAVA, language_of
from ringlite_cli.sandbox.model import SANDBOX_ERROR

REFUSED = "refused"
_SHARED = (
    "test code in C++ and Java runs in the program's own process, where a program can fake the end of the tests; "
    "mode function asks it from outside (rewards.trust_compiled_tests runs it all the same)"
)


def shares_its_process(tests: Mapping[str, Any] | None) -> bool:
    """Return whether tests run in the process of the program that they test, as in mode unit of C++ and Java."""
    return bool(tests) and tests.get("mode") == "unit" and language_of(tests.get("language")) in (CPP, JAVA)


def require_own_process(problems: Iterable[Problem], *, trusted: bool) -> None:
    """Raise UserError where a problem's tests share the program's process, unless they are trusted.

    A policy would be rewarded for what it can fake, and without trust every response would be `refused`.
    """
    shared = [
        problem
        for problem in problems
        if (problem.verifier or problem.domain) == "code" and shares_its_process(problem.tests)
    ]
    if shared and not trusted:
        raise UserError(
            f"{len(shared)} problems (the first: {shared[0].id}) have test code in C++ or Java, which runs in the "
            "program's own process, where a program can fake the end of the tests",
            where="verifier code",
            hint="give them tests of mode function or stdin, take them out of the data, or set "
            "rewards.trust_compiled_tests to train on them all the same",
        )


def verify_code(
    tests: Mapping[str, Any] | None, response: str, sandbox: Sandbox, *, trust_compiled_tests: bool = False
) -> "Future[Verdict]":
    """Return the verdict on one response: the sandbox's words, `unparsed` without a code block, `error` if we failed.

    Tests that share the program's process are `refused`, unless trust_compiled_tests.
    """
    if shares_its_process(tests) and not trust_compiled_tests:
        return done(REFUSED, _SHARED)
    block = last_code_block(response)
    if tests is None:
        return done("error", "the problem has no tests")
    if block is None:
        return done("unparsed", "no complete code block")
    note = f"the last of {block.blocks} code blocks" if block.blocks > 1 else ""
    return in_sandbox(sandbox, Submission(block.code, tests), lambda judged: _as_verdict(judged, note))


def in_sandbox(
    sandbox: Sandbox, submission: Submission, as_verdict: Callable[[SandboxVerdict], Verdict]
) -> "Future[Verdict]":
    """The verdict on a submission, on its way. Cancelling it ends the program; the verdict is then an `error`."""
    future = _CodeFuture(sandbox)

    def finish(judged: "Future[SandboxVerdict]") -> None:
        cancelled = judged.cancelled()
        future.set_result(Verdict("error", 0.0, 0.0, "cancelled") if cancelled else as_verdict(judged.result()))

    future.judged = sandbox.submit(submission)
    future.judged.add_done_callback(finish)
    return future


class _CodeFuture(Future[Verdict]):
    """A verdict on its way whose cancelling ends the program; the verdict is then an `error`, and comes at once."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self.judged: Future[SandboxVerdict] | None = None
        self._sandbox = sandbox
        self.set_running_or_notify_cancel()

    def cancel(self) -> bool:
        if self.judged is not None:
            self._sandbox.cancel([self.judged])
        return False


def _as_verdict(judged: SandboxVerdict, note: str) -> Verdict:
    place = f"case {judged.failed_case}" if judged.failed_case is not None else ""
    detail = "; ".join(part for part in (place, judged.detail, note) if part)
    name = "error" if judged.verdict == SANDBOX_ERROR else judged.verdict
    return Verdict(name, float(judged.accepted), judged.seconds, detail)
