"""What a metric, a curve and a figure of the report are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

PENALTY = "penalty/"
"""What the names of penalties begin with among the parts of a reward, beside verifiers."""

F = TypeVar("F", bound=Callable[..., Any])

Reduced = Literal[
    "tokens", "responses", "step", "sum", "max", "time", "rate", "state", "domains", "parts", "layers", "ages"
]
HOW: dict[Reduced, str] = {
    "tokens": "mean over the tokens that all ranks train",
    "responses": "mean over the responses or groups of the rollout, all ranks",
    "step": "one number of the optimizer step, the same on all ranks",
    "sum": "sum over the rollout or the step, all ranks",
    "max": "largest value, all ranks",
    "time": "seconds on the first rank's clock",
    "rate": "tokens of all ranks per second of the first rank's clock",
    "state": "state of the run at the step",
    "domains": "one value per domain",
    "parts": "one value per verifier and penalty, mean over the responses that have it",
    "ages": "one value per age in rollouts, all ranks",
    "layers": "one value per layer, summed over rows and ranks first",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of metrics.jsonl.

    key: its name in the file. name: its name for readers. unit: "" where it has none. reduced: how it becomes one
    number. watched: the guard reads it. table: it stands in the report's table. status: `ringlite status` shows it.
    was: its key in the files of earlier versions. per: the column of seconds that it is a share of or a number per
    second of; a mean over steps weighs by it.
    """

    key: str
    name: str
    unit: str
    reduced: Reduced
    meaning: str
    watched: bool = False
    table: bool = False
    status: bool = False
    was: str = ""
    per: str = ""


def measures(*metrics: Metric) -> Callable[[F], F]:
    """Say which metrics a reward of one's own measures: its dicts have numbers under these keys (a decorator)."""

    def mark(reward: F) -> F:
        reward.metrics = metrics  # type: ignore[attr-defined]
        return reward

    return mark


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a panel. label: its word in the legend. style: a colour class, "" for the policy's own colour."""

    key: str
    label: str
    style: str = ""
    kind: str = "line"


@dataclass(frozen=True, slots=True)
class ByName:
    """A figure of a column that has a value per domain or verifier, a line each. least: fewer lines are not drawn."""

    title: str
    unit: str
    key: str
    kind: str = "mean"
    least: int = 1


@dataclass(frozen=True, slots=True)
class Panel:
    """A figure of the report. It is left out where no row has any of its metrics."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    zero: bool = False
    log: bool = False
