"""Means of a stage's metrics over the first and the last tenth of its steps, in whole rollouts.

With `updates_per_rollout` the first step of a rollout bears its time: a share of time or a speed holds for all of a
rollout's steps together, and by no means for one of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.runs.catalogue import value_of
from ringlite_cli.runs.catalogue.columns import Metric

Rows = Sequence[Mapping[str, Any]]


def tenths(rows: Rows) -> tuple[Rows, Rows]:
    """Return the first and the last tenth of the rows, one at least, with all rows of their rollouts."""
    first = part = max(1, len(rows) // 10)
    while first < len(rows) and _goes_on(rows[first]):
        first += 1
    return rows[:first], last_of(rows, part)


def last_of(rows: Rows, count: int = 1) -> Rows:
    """Return the last rows, and those before them that share their rollout."""
    start = max(0, len(rows) - count)
    while 0 < start < len(rows) and _goes_on(rows[start]):
        start -= 1
    return rows[start:]


def mean_of(metric: Metric, rows: Rows) -> float | None:
    """Return a metric's mean over rows; of a share of time or a speed, that of the rows' whole time. None without any.

    >>> speed = Metric("speed", "speed", "tokens/s", "rate", "Tokens over seconds.", per="seconds")
    >>> mean_of(speed, [{"speed": 10.0, "seconds": 9.0}, {"speed": 100.0, "seconds": 1.0}])
    19.0
    """
    found = [(value, _weight(metric, row)) for row in rows if (value := value_of(row, metric.key)) is not None]
    total = sum(weight for _, weight in found)
    if not total:
        return sum(value for value, _ in found) / len(found) if found else None
    return sum(value * weight for value, weight in found) / total


def _weight(metric: Metric, row: Mapping[str, Any]) -> float:
    seconds = value_of(row, metric.per) if metric.per else 1.0
    return 0.0 if seconds is None else seconds


def _goes_on(row: Mapping[str, Any]) -> bool:
    """Return whether a step trains a rollout that an earlier one has drawn."""
    return value_of(row, "rollout_seconds") == 0
