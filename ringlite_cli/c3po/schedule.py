"""How the token budget moves over a run: constant, linear, or adaptive (which Ring-lite's authors announced).

How this differs from the paper: it trains with a constant budget. The loss is divided by the budget of its own step, so
that a token's weight is always 1/Phi of the tokens that are trained beside it, and the learning rate stays comparable.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

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


@dataclass(slots=True)
class Budget:
    """The budget of the step at hand, and what adaptive remembers. The same on all ranks; saved with a checkpoint."""

    schedule: BudgetSchedule
    tokens: int = 0
    length: float = 0.0
    reward: float = 0.0
    first_length: float = 0.0
    first_reward: float = 0.0
    change: str = ""

    def __post_init__(self) -> None:
        self.tokens = self.tokens or self.schedule.start

    def move(self, step: int, informative_length: float | None, reward: float) -> int:
        """The budget of step `step` (from 0), given the mean length of its informative responses and its mean reward.

        adaptive follows the running length relative to that of the first rollout, up while the running reward is no
        lower than the first, down whenever responses shorten; never below the start, nor above the end.
        `change` says what changed and why, or is empty.
        """
        before, self.change = self.tokens, ""
        if self.schedule.kind == "linear":
            share = min(1.0, step / self.schedule.steps)
            self.tokens = round(self.schedule.start + share * (self.schedule.largest - self.schedule.start))
            why = f"step {step} of {self.schedule.steps}"
        elif self.schedule.kind == "adaptive":
            why = self._follow(informative_length, reward)
        if self.tokens != before:
            self.change = f"{before} -> {self.tokens}: {why}"
        return self.tokens

    def _follow(self, length: float | None, reward: float) -> str:
        if length is not None:
            keep = self.schedule.memory if self.first_length else 0.0
            self.length = keep * self.length + (1 - keep) * length
            self.reward = keep * self.reward + (1 - keep) * reward
            if not self.first_length:
                self.first_length, self.first_reward = length, reward
        if not self.first_length:
            return ""
        wanted = round(self.schedule.start * self.length / self.first_length)
        wanted = min(max(wanted, self.schedule.start), self.schedule.largest)
        grows = wanted > self.tokens
        if abs(wanted - self.tokens) > self.schedule.dead_band * self.tokens and (
            not grows or self.reward >= self.first_reward
        ):
            self.tokens = wanted
        return f"informative responses have {self.length:.0f} tokens, the first had {self.first_length:.0f}"

    def state(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name not in ("schedule", "change")}

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
