"""Answers to reasoning-gym's tasks, scored in jails: a fresh process for each, forked from one that loaded the scorers.

What such a scorer evaluates is the model's text: so it has neither this process's memory nor its environment, files or
network, and nothing of one answer is left for the next.
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ringlite_cli.sandbox import model
from ringlite_cli.sandbox.attempt import Attempt, Memory, RunFiles, payload
from ringlite_cli.sandbox.jail import Jail
from ringlite_cli.sandbox.model import SandboxSettings, SandboxVerdict, Submission
from ringlite_cli.sandbox.packages import site_packages, with_requirements
from ringlite_cli.sandbox.pool import Sandbox

FULL_SCORE = 0.999
SCORER_MB = 2048  # address space that a scorer gets: sympy and numpy are in it
_RESULT_BYTES = 4096


def score_submission(task: str, entry: Mapping[str, Any], answer: str) -> Submission:
    """`answer` to the row `entry` ({"answer", "metadata"}) of reasoning-gym's task `task`."""
    return Submission(answer, {"mode": "score", "task": task, "entry": entry})


CONTROL = (
    "countdown",
    {"answer": "2*3 + 7", "metadata": {"source_dataset": "countdown", "numbers": [2, 3, 7], "target": 13}},
    "7 + 3*2",
)
"""A row and a right answer."""


class ScorerSandbox(Sandbox):
    """A sandbox for submissions made by `score_submission`: `accepted` at full score, `wrong answer` below it."""

    def __init__(self, settings: SandboxSettings) -> None:
        needed = set(with_requirements("reasoning-gym")) - {"matplotlib"}  # see guest/scoring.py
        super().__init__(replace(settings, packages=tuple(sorted(needed))))

    def _new_jail(self, slot: int) -> Jail:
        settings = self.settings
        together = settings.memory_mb + settings.files_mb + 2 * settings.output_mb
        # its own numbers for control groups and user ids: the sandbox for code may run beside it
        return Jail(
            self.isolation,
            settings.files_mb,
            _FIRST_SLOT + slot,
            together,
            site_packages(settings.packages),
            scorers=True,
        )

    def _control(self, submission: Submission) -> Submission:
        return score_submission(*CONTROL)

    def _run(self, jail: Jail, submission: Submission, memory: Memory) -> SandboxVerdict:
        attempt = Attempt(jail, submission, self.settings, memory)
        verdict = _scored(attempt, submission.program)
        if verdict.verdict != model.RUNTIME_ERROR:
            return verdict
        gold = _scored(attempt, submission.tests["entry"]["answer"] or "")  # is it the answer, or the scorer?
        if gold.verdict == model.RUNTIME_ERROR:
            return replace(verdict, verdict=model.SANDBOX_ERROR, detail=f"the scorer fails: {gold.detail}")
        return verdict


_FIRST_SLOT = 1000


def _scored(attempt: Attempt, answer: str) -> SandboxVerdict:
    tests = attempt.tests
    with ExitStack() as stack:
        files = RunFiles(stack, {})
        files.add("payload", payload(task=tests["task"], entry=tests["entry"], answer=answer))
        for name in ("stdout", "stderr", "result"):
            files.add(name)
        reply = attempt.go(files, [("score", {name: name for name in files.numbers})])
        failure = attempt.failure(reply, files)
        said = files.read("result")[:_RESULT_BYTES]
    return failure or _verdict(tests["task"], said, reply)


def _verdict(task: str, said: bytes, reply: Mapping[str, Any]) -> SandboxVerdict:
    end = reply["children"][0]
    facts: dict[str, Any] = {"seconds": reply["wall"], "cpu_seconds": reply["cpu"], "memory_bytes": end["rss"]}
    try:
        outcome = json.loads(said)
        if "fault" in outcome:
            return SandboxVerdict(model.SANDBOX_ERROR, detail=str(outcome["fault"])[:300], **facts)
        score = float(outcome["score"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return SandboxVerdict(model.RUNTIME_ERROR, detail="no score", **facts)
    name = model.ACCEPTED if FULL_SCORE <= score <= 1.0 else model.WRONG_ANSWER
    sound = score if 0.0 <= score <= 1.0 else 0.0
    return SandboxVerdict(name, detail=f"{task} score {score:.3f}", score=sound, **facts)
