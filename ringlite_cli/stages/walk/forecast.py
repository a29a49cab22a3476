"""How long a run will still take: the stage at work by its own pace, the later ones by what was measured before."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.catalogue import value_of
from ringlite_cli.stages.parts.costs import Time, duration, expected_time, read_by, tokens_of

_WINDOW = 20
"""Signs of progress that the pace of a stage is taken over."""


@dataclass(frozen=True)
class Left:
    """What is left of a run. seconds: of what can be foreseen, None for nothing. unknown: stages that can't be.

    at_most: a stage may end earlier, as the lengths of its responses or samples are known by their limit alone.
    """

    seconds: float | None
    at_most: bool = False
    unknown: tuple[str, ...] = ()

    def words(self) -> str:
        """Return it in words that claim no more than is known."""
        if self.seconds is None:
            return "time left of the run: not known yet"
        most = "at most " if self.at_most else "about "
        if not self.unknown:
            return f"{most}{duration(self.seconds)} left of the run"
        return f"{most}{duration(self.seconds)} left of the run, without {', '.join(self.unknown)} (not measured yet)"

    def row(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"seconds": self.seconds, "at_most": self.at_most, "unknown": list(self.unknown)}

    @classmethod
    def of_row(cls, row: Any) -> "Left | None":
        """Return what `row` gave; None for anything else."""
        if not isinstance(row, Mapping) or not isinstance(row.get("unknown"), list):
            return None
        return cls(value_of(row, "seconds"), bool(row.get("at_most")), tuple(map(str, row["unknown"])))


class Forecast:
    """Foresees the rest of a walk, from the stages that have to work."""

    def __init__(
        self, recipe: Recipe, run: Path, at_work: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._recipe, self._run, self._at_work, self._clock = recipe, run, list(at_work), clock
        self._expected: dict[str, Time] = {}
        self._look(self._at_work)
        self._stage, self._began = "", 0.0
        self._shares: deque[tuple[float, float]] = deque(maxlen=_WINDOW)

    def begin(self, stage: str) -> None:
        """Note that a stage begins; those before it are over."""
        later = self._at_work[self._at_work.index(stage) + 1 :] if stage in self._at_work else []
        self._at_work = later
        self._look([stage, *later])
        self._stage, self._began = stage, self._clock()
        self._shares.clear()

    def progress(self, share: float | None) -> None:
        """Note which share of the stage at work is done; None where it is not known."""
        if share is not None and (not self._shares or share > self._shares[-1][1]):
            self._shares.append((self._clock(), share))

    def left(self) -> Left:
        """Return what is left of the run."""
        known = [(self._left_of_stage(), self._stage)]
        known += [(self._expected.get(name), name) for name in self._at_work]
        found = [each for each, _ in known if each is not None]
        unknown = tuple(name for each, name in known if each is None and name)
        if not found or (unknown and all(each.seconds == 0 for each in found)):
            return Left(None, unknown=unknown)
        return Left(sum(each.seconds for each in found), any(each.at_most for each in found), unknown)

    def _left_of_stage(self) -> Time | None:
        if self._shares and self._shares[-1][1] >= 1:
            return Time(0.0, "done", 1)
        if len(self._shares) > 1:
            (begun, first), (at, last) = self._shares[0], self._shares[-1]
            if at > begun:
                spent = self._clock() - at
                return Time(max(0.0, (1 - last) * (at - begun) / (last - first) - spent), "by its pace", 1)
        expected = self._expected.get(self._stage)
        rest = expected.seconds - (self._clock() - self._began) if expected else 0.0
        return Time(rest, expected.source, 1, expected.at_most) if expected and rest > 0 else None

    def _look(self, stages: Sequence[str]) -> None:
        """Foresee stages by what lies in the runs folder now: a stage that has ended since tells more of others."""
        for name in stages:
            tokens = tokens_of(self._recipe, name, read_by(self._recipe, name))
            try:
                found = expected_time(self._recipe, name, tokens, self._run.parent, self._run)
            except OSError:
                continue
            if found and (name not in self._expected or self._expected[name].at_most):
                self._expected[name] = found
