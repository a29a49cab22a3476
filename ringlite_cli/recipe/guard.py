"""The keys of the guard: which signs of collapse an RL stage is watched for, and what is done about them."""

from typing import Any, Literal

from pydantic import model_validator

from ringlite_cli.recipe.key_classes import objective
from ringlite_cli.recipe.section import Positive, Probability, Section

Action = Literal["log", "pause", "rollback"]


class Rule(Section):
    """What the guard does where the rule is broken: log it, pause the run (saved), or go back to a good checkpoint."""

    action: Action = objective("log", description="log, pause the run, or roll it back")


class EntropyRule(Rule):
    low: float = objective(0.0, ge=0, description="lowest entropy, nats per token, mean over the window")
    high: float | None = objective(None, gt=0, description="nats per token, mean over the window; default: none")


class RewardRule(Rule):
    drop: Probability = objective(0.5, description="share of the best window's mean reward that may be lost")


class GradNormRule(Rule):
    times: float = objective(20.0, gt=1, description="the window's median that a step's gradient norm may reach")


class LengthRule(Rule):
    times: float = objective(
        4.0, gt=1, description="the first window's mean response length that a later one may reach"
    )
    truncated: Probability = objective(1.0, description="share of truncated responses that a window may reach")


class MismatchRule(Rule):
    above: float = objective(0.2, gt=0, description="nats per token between engine and trainer, mean over the window")
    masked: Probability = objective(
        0.5, description="share of tokens that the mismatch rule may mask, mean over the window"
    )


class NoSignalRule(Rule):
    """Steps from which nothing can be learned: in no group do two responses have different rewards."""

    steps: Positive = objective(3, description="optimizer steps in a row without a group of different rewards")


class NotFiniteRule(Rule):
    """A loss, gradient or policy that is no number. Such a run never goes on: log and pause both stop it."""

    action: Action = objective("rollback", description="rollback; log and pause both stop the run")


class RewardGapRule(Rule):
    """A reward that is hacked: training reward has risen since the best held-out score, and that score has fallen."""

    confidence: float = objective(
        0.95, gt=0.5, lt=1, description="of the interval of the held-out fall, paired by problem, that must exclude 0"
    )


class HeldOut(Section):
    """Problems that the stage does not train on, which the policy answers greedily now and then."""

    data: str = objective(description="set of problems with a verifier of answers, as curate.eval")
    every: Positive = objective(description="optimizer steps between two measurements; step 1 is measured too")
    problems: Positive = objective(64, description="problems of the set that are asked, drawn once")


class Guard(Section):
    """Signs of collapse, looked for over the last steps of an RL run."""

    window: Positive = objective(8, description="optimizer steps that a rule looks at")
    entropy: EntropyRule | None = objective(None, description="entropy outside a band; default: not looked at")
    reward: RewardRule | None = objective(RewardRule(), description="reward that is lost; null: not looked at")
    grad_norm: GradNormRule | None = objective(GradNormRule(), description="leaps of the gradient; null: not looked at")
    length: LengthRule | None = objective(LengthRule(), description="responses that grow; null: not looked at")
    mismatch: MismatchRule | None = objective(
        MismatchRule(), description="engine and trainer that differ; null: not looked at"
    )
    no_signal: NoSignalRule | None = objective(
        NoSignalRule(), description="steps from which nothing can be learned; null: not looked at"
    )
    held_out: HeldOut | None = objective(None, description="what reward_gap looks at; default: nothing is measured")
    reward_gap: RewardGapRule | None = objective(
        RewardGapRule(), description="reward that rises while the held-out score falls; null: not looked at"
    )
    not_finite: NotFiniteRule = objective(NotFiniteRule(), description="numbers that are not finite")
    lr_factor: Probability = objective(1.0, description="what the learning rate is multiplied by at each rollback")
    max_rollbacks: int = objective(3, ge=0, description="after so many, the run fails instead")

    def objective(self) -> dict[str, Any]:
        """Return the rules that roll the run back, and how: those that only log or pause change no weight."""
        keys = super().objective()
        rules = {n: rule for n, rule in keys.items() if isinstance(rule, dict) and rule.get("action") == "rollback"}
        if not rules:
            return {}
        if self.held_out_decides:
            rules["held_out"] = keys["held_out"]
        return rules | {name: keys[name] for name in ("window", "lr_factor", "max_rollbacks")}

    @property
    def held_out_decides(self) -> bool:
        """Return whether the run is rolled back by its held-out score, so that its result depends on that."""
        return self.held_out is not None and self.reward_gap is not None and self.reward_gap.action == "rollback"

    @model_validator(mode="after")
    def _has_something_held_out(self) -> "Guard":
        if self.held_out is None and self.reward_gap not in (None, RewardGapRule()):
            raise ValueError("reward_gap has nothing to look at; give held_out: {data: SET, every: STEPS} too")
        return self
