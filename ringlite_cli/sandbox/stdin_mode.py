"""Mode stdin: one run per case, input to output."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ringlite_cli.sandbox import judge, model
from ringlite_cli.sandbox.attempt import Attempt, accepted, at_case, wrong_answer
from ringlite_cli.sandbox.compiling import Launch, launch, native_files
from ringlite_cli.sandbox.function_mode import checked
from ringlite_cli.sandbox.languages import PYTHON, RECIPES
from ringlite_cli.sandbox.model import SandboxVerdict


def judge_stdin(attempt: Attempt, language: str) -> SandboxVerdict:
    """One run per case, input to output, up to the first that fails."""
    if attempt.jail.isolation.level != "none":  # elsewhere the name is there
        attempt.name_input()
    started = launch(attempt, language)
    if isinstance(started, SandboxVerdict):
        return started
    with attempt.jail.more_memory(RECIPES[language].more_mb if language != PYTHON else 0):
        return _cases(attempt, started)


def _cases(attempt: Attempt, how: Launch) -> SandboxVerdict:
    same = judge.output_comparison(attempt.tests)
    total = SandboxVerdict(model.ACCEPTED)
    for place in attempt.memory.order.order(attempt.tests):
        verdict = _case(attempt, how, attempt.tests["cases"][place], place, same)
        total = replace(
            verdict,
            seconds=total.seconds + verdict.seconds,
            cpu_seconds=total.cpu_seconds + verdict.cpu_seconds,
            memory_bytes=max(total.memory_bytes, verdict.memory_bytes),
        )
        if not verdict.accepted:
            if verdict.verdict not in (model.SANDBOX_ERROR, model.COMPILE_ERROR):
                attempt.memory.order.note(attempt.tests, place)
            break
    return total


def _case(
    attempt: Attempt, how: Launch, case: Mapping[str, Any], place: int, same: judge.Comparison | None
) -> SandboxVerdict:
    expected = judge.accepted_answers(case)
    with ExitStack() as stack:
        files = native_files(stack, how, str(case["input"]))
        reply = attempt.go(files, [(how.role, {name: name for name in files.numbers})], limits=how.limits)
        failure = attempt.failure(reply, files, native=how.artifact is not None)
        actual = files.read("stdout").decode(errors="replace")
    if failure is not None:
        return at_case(failure, place)
    if same is None:
        said = checked(attempt, [case], [str(case["input"])], [actual])
        return replace(said, failed_case=place) if said is not None else accepted(reply)
    if not any(same(str(answer), actual) for answer in expected):
        return wrong_answer(case, actual, place, reply["wall"])
    return accepted(reply)
