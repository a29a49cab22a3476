"""The settings of a token budget that may move over a run; `c3po/schedule.py` moves it."""

from dataclasses import dataclass
from typing import Literal

from ringlite_cli.errors import UserError

Kind = Literal["constant", "linear", "adaptive"]


@dataclass(frozen=True, slots=True)
class BudgetSchedule:
    """start: Phi of the first step. end: Phi that linear arrives at after `steps`, and adaptive never exceeds.

    dead_band: the relative change below which adaptive leaves the budget alone. memory: share of the past in its
    running means of response length and reward.
    """

    start: int
    kind: Kind = "constant"
    end: int | None = None
    steps: int = 0
    dead_band: float = 0.1
    memory: float = 0.8

    def __post_init__(self) -> None:
        if self.kind not in ("constant", "linear", "adaptive"):
            raise UserError(f"{self.kind!r} is not one of constant, linear and adaptive", where="budget_schedule")
        if self.kind != "constant" and (self.end is None or self.end < self.start):
            raise UserError(
                f"a {self.kind} budget needs an end of {self.start} (token_budget) or more, not {self.end}",
                where="token_budget_end",
            )
        if self.kind == "linear" and self.steps < 1:
            raise UserError("a linear budget needs the number of steps that it grows over", where="budget_steps")
        if not 0 <= self.dead_band < 1 or not 0 <= self.memory < 1:
            raise UserError("must be 0 or more and less than 1", where="budget_dead_band")

    @property
    def largest(self) -> int:
        return self.start if self.kind == "constant" or self.end is None else self.end
