"""How the token budget moves over a run: constant, linear, or adaptive (which Ring-lite's authors announced).

How this differs from the paper: it trains with a constant budget. The loss is divided by the budget of its own step, so
that a token's weight is always 1/Phi of the tokens that are trained beside it, and the learning rate stays comparable.
"""

from dataclasses import asdict, dataclass
from typing import Any

from ringlite_cli.recipe.budget_schedule import BudgetSchedule


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
        """Take up a checkpoint's state; its budget as far as the schedule, which may be another now, allows it."""
        for name, value in state.items():
            setattr(self, name, value)
        self.tokens = min(max(self.tokens, self.schedule.start), self.schedule.largest)
