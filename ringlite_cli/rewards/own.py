"""Rewards of the user's own: a function (Problem, response) -> reward, in worker processes that can be stopped.

A reward is a number, a bool, or a Verdict. A number from 0 to 1 is usual; 1 is called correct, 0 wrong, others partial.
With a dict {"reward": number, "detail"?: text, other keys: numbers} a reward also measures: the numbers stand in
metrics.jsonl as means over the responses, and `@measures(Metric(...))` above the function says what they are.
An exception of the function is the verdict `error`: no reward is made up for it.
"""

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, replace
from typing import Any

from ringlite_cli.own_code import load
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.rewards.pool import MODEL_MB, RewardPool, then

_MOST_NUMBERS, _DETAIL = 8, 300


class OwnRewards:
    """The pools of the own rewards at hand, one for each; a pool starts with its first response."""

    def __init__(self, workers: int, seconds: float) -> None:
        self._workers, self._seconds = workers, seconds
        self._pools: dict[str, RewardPool] = {}
        self._lock = threading.Lock()

    def submit(self, name: str, problem: Problem, response: str) -> "Future[Verdict]":
        """Return the verdict on its way. Raises UserError where `name` is no function."""
        with self._lock:
            if name not in self._pools:
                load(name, calls=True)
                self._pools[name] = RewardPool(self._workers, self._seconds, MODEL_MB, name)
            pool = self._pools[name]
        return then(pool.submit([json.dumps(asdict(problem), sort_keys=True)], response), _verdict)

    def close(self) -> None:
        """End the workers."""
        for pool in self._pools.values():
            pool.close()


def _verdict(done: "Future[Verdict]") -> Verdict:
    if done.cancelled():
        return Verdict("error", 0.0, 0.0, "cancelled")
    found = done.result()
    if found.verdict != "scored":
        return found if found.verdict == "timeout" else replace(found, verdict="error", reward=0.0)
    made = json.loads(found.detail)
    return Verdict(made["verdict"], made["reward"], found.seconds, made["detail"], made["numbers"])


def scorer(name: str) -> Callable[[list[str], str], tuple[str, str]]:
    """Return the comparison that a worker makes: ([problem as JSON], response) -> ("scored", the verdict as JSON)."""
    function = load(name, calls=True)

    def score(golds: list[str], response: str) -> tuple[str, str]:
        try:
            return "scored", json.dumps(as_verdict(function(Problem(**json.loads(golds[0])), response)))
        except Exception as error:
            return "error", f"{name} raised {type(error).__name__}: {str(error)[:200]}"

    return score


def as_verdict(made: Any) -> dict[str, Any]:
    """Return what a reward function gave as the fields of a Verdict. Raises TypeError for what is none."""
    if isinstance(made, Verdict):
        return {"verdict": made.verdict, "reward": made.reward, "detail": made.detail[:_DETAIL], "numbers": {}}
    numbers, detail = {}, ""
    if isinstance(made, Mapping):
        numbers = {str(key): float(value) for key, value in made.items() if key not in ("reward", "detail")}
        made, detail = made["reward"], str(made.get("detail", ""))
    if not isinstance(made, int | float):
        raise TypeError(f"a reward is a number, a Verdict or a dict with 'reward', not a {type(made).__name__}")
    if len(numbers) > _MOST_NUMBERS:
        raise TypeError(f"a reward may measure {_MOST_NUMBERS} numbers, not {len(numbers)}")
    reward = float(made)
    verdict = {1.0: "correct", 0.0: "wrong"}.get(reward, "partial")
    return {"verdict": verdict, "reward": reward, "detail": detail[:_DETAIL], "numbers": numbers}
