"""reasoning-gym's own scorers (Countdown, Sudoku, ARC, mazes, ... 100 and more tasks), for problems made with it.

An extra (`pip install reasoning-gym`; one of its requirements, pycosat, needs a C compiler). Scorers run in a process
that can be killed, as Math-Verify does.
"""

import importlib.util
import json
import re
from concurrent.futures import Future

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Verdict
from ringlite_cli.rewards.extract import last_boxed
from ringlite_cli.rewards.math import ERROR, UNPARSED, done
from ringlite_cli.rewards.pool import MathPool

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)


def is_installed() -> bool:
    """Whether reasoning-gym is here."""
    return importlib.util.find_spec("reasoning_gym") is not None


def require_gym() -> None:
    """Raises UserError with the line that installs it."""
    if not is_installed():
        raise UserError(
            "problems of verifier 'logic-gym' need reasoning-gym", hint="pip install reasoning-gym (and a C compiler)"
        )


def verify_gym(answer: object, response: str, pool: MathPool) -> "Future[Verdict]":
    """The scorer's verdict: correct only at full score; the detail tells the score.

    answer: the row as reasoning-gym made it, as JSON text: {"answer", "metadata": {"source_dataset", ...}}.
    """
    said = _ANSWER.findall(response[-2_000_000:])
    given = said[-1].strip() if said else last_boxed(response)
    if given is None:
        return done(UNPARSED, "neither <answer> nor \\boxed{}")
    try:
        entry = json.loads(answer) if isinstance(answer, str) else answer
        assert isinstance(entry, dict)
        name = entry["metadata"]["source_dataset"]
    except (ValueError, KeyError, TypeError, AssertionError):
        return done(ERROR, "the gold answer is not a row of reasoning-gym")
    return pool.submit([name, json.dumps(entry)], given)
