"""Mode unit: test code runs against the program, in Python in a process of its own."""

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ringlite_cli.sandbox import model
from ringlite_cli.sandbox.attempt import STDERR_BYTES, Attempt, RunFiles, accepted, payload
from ringlite_cli.sandbox.compiling import Launch, launch, native_files
from ringlite_cli.sandbox.languages import CPP, JAVA, PYTHON, RECIPES, language_of
from ringlite_cli.sandbox.model import SandboxVerdict
from ringlite_cli.sandbox.sources import JAVA_TESTS, names_in

_EXIT_FAILED = 98  # of the drivers, for an assertion of the tests
_OUTCOMES = {"failed": model.WRONG_ANSWER, "raised": model.RUNTIME_ERROR, "broken": model.SANDBOX_ERROR}


def judge_unit(attempt: Attempt, language: str) -> SandboxVerdict:
    """Run the test code to its end, or to what fails."""
    return _python(attempt) if language == PYTHON else _compiled(attempt, language)


def _compiled(attempt: Attempt, language: str) -> SandboxVerdict:
    """Program and test code in one process, which tells a fresh word when the tests are through.

    What passes is run again with a word that the tests' end must not tell. A program that got at the word and told it
    itself passes there too, and so shows itself.
    """
    how = launch(attempt, language)
    if isinstance(how, SandboxVerdict):
        return how
    verdict, _ = _told(attempt, how, language, _word(odd=False))
    if not verdict.accepted:
        return verdict
    again, forged = _told(attempt, how, language, _word(odd=True))
    if forged or again.verdict == model.SANDBOX_ERROR:
        detail = "it passes where the tests must fail" if forged else again.detail
        return SandboxVerdict(model.WRONG_ANSWER if forged else model.SANDBOX_ERROR, verdict.seconds, detail)
    return replace(verdict, detail="the tests shared a process with the program: not for training")


def shares_process(tests: Mapping[str, Any] | None) -> bool:
    """Return whether these tests would run in the program's own process, where a pass can be forged."""
    return tests is not None and tests.get("mode") == "unit" and language_of(tests.get("language")) in (CPP, JAVA)


def _word(odd: bool) -> str:
    while sum(map(ord, word := secrets.token_hex(16))) % 2 != odd:
        pass
    return word


def _told(attempt: Attempt, how: Launch, language: str, word: str) -> tuple[SandboxVerdict, bool]:
    """Return the verdict of one run, and whether its result file holds `word`."""
    asked = {"tests": JAVA_TESTS, "names": names_in(str(attempt.tests["code"])), "word": word}
    with ExitStack() as stack, attempt.jail.more_memory(RECIPES[language].more_mb):
        files = native_files(stack, how, json.dumps(asked) if language == JAVA else word)
        reply = attempt.go(files, [(how.role, {name: name for name in files.numbers})], limits=how.limits)
        told = word.encode() in files.read("stdout")
        if not reply["killed"] and files.read("stdout") == word.encode():
            return accepted(reply), told
        failure = attempt.failure(reply, files, native=True)
        if not reply["killed"] and os.waitstatus_to_exitcode(reply["children"][0]["status"]) == _EXIT_FAILED:
            lines = files.tail("stderr", STDERR_BYTES).strip().splitlines() or ["an assertion failed"]
            detail = next((line for line in lines if "of the tests:" in line or "AssertionError" in line), lines[-1])
            return SandboxVerdict(model.WRONG_ANSWER, reply["wall"], detail[:300]), told
    return failure or SandboxVerdict(model.RUNTIME_ERROR, reply["wall"], "ended before the tests did"), told


def _python(attempt: Attempt) -> SandboxVerdict:
    """The verdict of the tests; where they can't judge, it is their fault only if an empty program meets the same."""
    verdict = _tested(attempt, attempt.submission.program)
    if verdict.verdict == model.SANDBOX_ERROR and _tested(attempt, "").verdict != model.SANDBOX_ERROR:
        return replace(verdict, verdict=model.RUNTIME_ERROR)
    return verdict


def _tested(attempt: Attempt, program: str) -> SandboxVerdict:
    """Run the test code in one process against the program in another."""
    with ExitStack() as stack:
        files = RunFiles(stack, {})
        files.add("program", payload(program=program))
        entry = str(attempt.tests.get("entry_point") or "")
        files.add("tests", payload(tests=attempt.tests["code"], entry_point=entry))
        for name in ("stdout", "stderr", "result"):
            files.add(name)
        serve = {"payload": "program", "stdout": "stdout", "stderr": "stderr"}
        test = {"payload": "tests", "result": "result"}
        reply = attempt.go(files, [("serve", serve), ("test", test)])
        try:
            outcome = json.loads(files.read("result"))
        except ValueError:
            outcome = {"outcome": "gone", "detail": "the tests did not finish"}
        if outcome["outcome"] == "passed" and not reply["killed"]:
            return accepted(reply)
        if outcome["outcome"] in _OUTCOMES:
            return SandboxVerdict(_OUTCOMES[outcome["outcome"]], reply["wall"], outcome["detail"])
        failure = attempt.failure(reply, files)
        return failure or SandboxVerdict(model.RUNTIME_ERROR, reply["wall"], "ended before the tests did")
