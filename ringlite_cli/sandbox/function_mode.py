"""Mode function: the entry point is called on every case, and its answers are compared on this side."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ringlite_cli.sandbox import judge, model
from ringlite_cli.sandbox.attempt import Attempt, RunFiles, accepted, at_case, payload, wrong_answer
from ringlite_cli.sandbox.compiling import launch, native_files
from ringlite_cli.sandbox.guest import wire
from ringlite_cli.sandbox.languages import JAVA, PYTHON, RECIPES
from ringlite_cli.sandbox.model import SandboxVerdict
from ringlite_cli.sandbox.sources import java_classes
from ringlite_cli.sandbox.values import decode


class Answers:
    """The answers of a function-mode run, compared as they come."""

    def __init__(self, cases: Sequence[Mapping[str, Any]], same: judge.Comparison | None) -> None:
        self.cases, self.same = cases, same
        self.values: list[Any] = []  # in tagged form
        self.wrong: SandboxVerdict | None = None
        self._offset = 0

    def take(self, written: bytes) -> None:
        """Read the lines that are complete in what was written since the last time."""
        complete = written[: written.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.split(b"\n")[:-1]:
            if self.wrong is None and len(self.values) < len(self.cases):
                self._compare(line)

    @property
    def offset(self) -> int:
        return self._offset

    def _compare(self, line: bytes) -> None:
        place = len(self.values)
        answers = judge.accepted_answers(self.cases[place])
        try:
            tagged = json.loads(line.decode())
            actual = decode(tagged)
            right = self.same is None or any(self.same(answer, actual) for answer in answers)
        except Exception as error:  # whatever a program may write there, it is only its answer
            detail = f"not a value that compares ({type(error).__name__})"
            self.wrong = SandboxVerdict(model.WRONG_ANSWER, 0.0, detail, place)
            return
        self.values.append(tagged)
        if not right:
            self.wrong = wrong_answer(self.cases[place], actual, place, 0.0)


def judge_function(attempt: Attempt, language: str) -> SandboxVerdict:
    """Call the entry point on every case in one process, which is ended at the first wrong answer."""
    order = attempt.memory.order.order(attempt.tests)
    cases = [attempt.tests["cases"][place] for place in order]
    for case in cases:
        judge.accepted_answers(case)  # broken tests show before the program runs
    given = [c["args"] if isinstance(c["args"], list | dict) else [c["args"]] for c in cases]
    verdict = (_called if language == PYTHON else _called_native)(attempt, cases, given, language)
    failed = verdict.failed_case
    if failed is None or failed >= len(order):
        return verdict
    if verdict.verdict != model.SANDBOX_ERROR:
        attempt.memory.order.note(attempt.tests, order[failed])
    return replace(verdict, failed_case=order[failed])


def _called(attempt: Attempt, cases: list[Mapping[str, Any]], given: list[Any], language: str) -> SandboxVerdict:
    calls = [wire.pack(args) for args in given]
    content = {"entry_point": attempt.tests["entry_point"], "calls": calls, "prelude": attempt.wants_prelude}
    with ExitStack() as stack:
        files = RunFiles(stack, {})
        files.add("payload", payload(program=attempt.submission.program, **content))
        for name in ("stdout", "stderr", "result"):
            files.add(name)
        return _answered(attempt, cases, files, "calls", "result")


def _called_native(attempt: Attempt, cases: list[Mapping[str, Any]], given: list[Any], language: str) -> SandboxVerdict:
    how = launch(attempt, language)
    if isinstance(how, SandboxVerdict):
        return how
    calls = [list(args.values()) if isinstance(args, dict) else args for args in given]
    asked = {
        "classes": java_classes(attempt.submission.program),
        "entry": str(attempt.tests["entry_point"]).rpartition(".")[2],
        "calls": calls,
    }
    with ExitStack() as stack, attempt.jail.more_memory(RECIPES[language].more_mb):
        files = native_files(stack, how, json.dumps(asked if language == JAVA else calls))
        return _answered(attempt, cases, files, how.role, "stdout", how.limits)


def _answered(
    attempt: Attempt,
    cases: list[Mapping[str, Any]],
    files: RunFiles,
    role: str,
    channel: str,
    limits: Mapping[str, int] | None = None,
) -> SandboxVerdict:
    """Run the calls; their answers come as lines in the file `channel`."""
    answers = Answers(cases, judge.value_comparison(attempt.tests))

    def wrong_already() -> bool:
        answers.take(files.read(channel, answers.offset))
        return answers.wrong is not None

    reply = attempt.go(files, [(role, {name: name for name in files.numbers})], wrong_already, limits=limits)
    if wrong_already() and answers.wrong is not None:
        return replace(answers.wrong, seconds=reply["wall"])
    failure = attempt.failure(reply, files, native=role == "native")
    if failure is not None:
        return at_case(failure, len(answers.values))
    if len(answers.values) < len(cases):
        detail = f"ended before case {len(answers.values)} returned"
        return SandboxVerdict(model.RUNTIME_ERROR, reply["wall"], detail, len(answers.values))
    return checked(attempt, cases, [c["args"] for c in cases], answers.values) or accepted(reply)


def checked(
    attempt: Attempt, cases: Sequence[Mapping[str, Any]], given: list[Any], tagged: list[Any]
) -> SandboxVerdict | None:
    """The verdict of the tests' own checker where they bring one; None when all is well.

    A checker that fails on an answer, but not on the expected one in its place, has met a wrong answer; where None is
    expected, as by cases that only a checker can decide, it must at least load.
    """
    if not judge.brings_checker(attempt.tests):
        return None
    expected = [judge.accepted_answers(case)[0] for case in cases]
    said, reply, failure = _run_checker(attempt, list(zip(given, expected, tagged, strict=True)))
    place = said.index(b"false") if b"false" in said else len(said)
    if place == len(cases):
        return None
    if place == len(said):
        gold = expected[place]
        asked = [] if gold is None else [(given[place], gold, wire.pack(gold))]
        done, again, _ = _run_checker(attempt, asked)
        if len(done) < len(asked) or again["killed"] or again["children"][0]["status"]:
            return SandboxVerdict(model.SANDBOX_ERROR, reply["wall"], f"the checker failed: {failure}", place)
        return SandboxVerdict(model.WRONG_ANSWER, reply["wall"], f"the checker failed on it: {failure}", place)
    return wrong_answer(cases[place], decode(tagged[place]), place, reply["wall"])


def _run_checker(attempt: Attempt, answers: list[tuple[Any, Any, Any]]) -> tuple[list[bytes], dict[str, Any], str]:
    """What the checker says of each (given, expected, actual in tagged form) up to where it fails, and how it does."""
    with ExitStack() as stack:
        files = RunFiles(stack, {})
        files.add("payload", payload(checker=attempt.tests["checker"], answers=[list(each) for each in answers]))
        for name in ("stdout", "stderr", "result"):
            files.add(name)
        reply = attempt.go(files, [("check", {name: name for name in files.numbers})])
        failure = files.tail("stderr", 300).strip() or reply["killed"] or "it ended"
        return files.read("result").split(b"\n")[:-1], reply, failure
