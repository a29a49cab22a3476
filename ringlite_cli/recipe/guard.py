"""The keys of the guard: which signs of collapse an RL stage is watched for, and what is done about them."""

from typing import Literal

from pydantic import Field

from ringlite_cli.recipe.section import Positive, Probability, Section

Action = Literal["log", "pause", "rollback"]


class Rule(Section):
    """What the guard does where the rule is broken: log it, pause the run (saved), or go back to a good checkpoint."""

    action: Action = Field("log", description="log, pause the run, or roll it back")


class EntropyRule(Rule):
    low: float = Field(0.0, ge=0, description="lowest entropy, nats per token, mean over the window")
    high: float | None = Field(None, gt=0, description="nats per token, mean over the window; default: none")


class RewardRule(Rule):
    drop: Probability = Field(0.5, description="share of the best window's mean reward that may be lost")


class GradNormRule(Rule):
    times: float = Field(20.0, gt=1, description="the window's median that a step's gradient norm may reach")


class LengthRule(Rule):
    times: float = Field(4.0, gt=1, description="the first window's mean response length that a later one may reach")
    truncated: Probability = Field(1.0, description="share of truncated responses that a window may reach")


class MismatchRule(Rule):
    above: float = Field(0.2, gt=0, description="nats per token between engine and trainer, mean over the window")


class NoSignalRule(Rule):
    """Steps from which nothing can be learned: in no group do two responses have different rewards."""

    steps: Positive = Field(3, description="optimizer steps in a row without a group of different rewards")


class NotFiniteRule(Rule):
    """A loss, gradient or policy that is no number. Such a run never goes on: log and pause both stop it."""

    action: Action = Field("rollback", description="rollback; log and pause both stop the run")


class Guard(Section):
    """Signs of collapse, looked for over the last steps of an RL run."""

    window: Positive = Field(8, description="optimizer steps that a rule looks at")
    entropy: EntropyRule | None = Field(None, description="entropy outside a band; default: not looked at")
    reward: RewardRule | None = Field(RewardRule(), description="reward that is lost; null: not looked at")
    grad_norm: GradNormRule | None = Field(GradNormRule(), description="leaps of the gradient; null: not looked at")
    length: LengthRule | None = Field(LengthRule(), description="responses that grow; null: not looked at")
    mismatch: MismatchRule | None = Field(
        MismatchRule(), description="engine and trainer that differ; null: not looked at"
    )
    no_signal: NoSignalRule | None = Field(
        NoSignalRule(), description="steps from which nothing can be learned; null: not looked at"
    )
    not_finite: NotFiniteRule = Field(NotFiniteRule(), description="numbers that are not finite")
    lr_factor: Probability = Field(1.0, description="what the learning rate is multiplied by at each rollback")
    max_rollbacks: int = Field(3, ge=0, description="after so many, the run fails instead")
