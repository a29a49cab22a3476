"""Code: the last complete code block of a response, against the problem's tests, in the sandbox. All or nothing.

Paper §3.3: 1 only if every test passes, else 0.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from ringlite_cli.problems import Verdict
from ringlite_cli.rewards.extract import last_code_block
from ringlite_cli.rewards.math import done
from ringlite_cli.sandbox import Sandbox, SandboxVerdict, Submission
from ringlite_cli.sandbox.model import SANDBOX_ERROR
from ringlite_cli.sandbox.unit_mode import shares_process

REFUSED = "refused"
_SHARED = (
    "C++ and Java tests of mode unit share a process with the program, which can forge their end: give cases of mode "
    "function or stdin, or set trust_compiled_tests"
)


def verify_code(
    tests: Mapping[str, Any] | None, response: str, sandbox: Sandbox, *, trust_compiled_tests: bool = False
) -> "Future[Verdict]":
    """Return the verdict on one response: the sandbox's words, `unparsed` without a code block, `error` if we failed.

    Tests that share a process with the program are `refused`, unless trust_compiled_tests.
    """
    if shares_process(tests) and not trust_compiled_tests:
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
