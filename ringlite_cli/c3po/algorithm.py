"""What an algorithm of RL is: a surrogate per token, the weight of a token, and the one divisor of a step.

Notation: a row holds T tokens of several samples; every tensor is (1, T). The loss of a step is the sum over all
trained tokens of weight * surrogate, divided once by the divisor. So it does not depend on how tokens are shared among
rows and ranks, as long as a sample stands whole in one row; the packer sees to that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ringlite_cli.runs.catalogue.columns import Metric


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a row, as a surrogate sees them. All tensors are (1, T).

    log_probs: of the policy, with gradient. old_log_probs: of the policy that the update began with, without; equal to
    log_probs in a rollout's first update. advantages: constant within a sample. mask: which tokens are trained.
    sample: the number of each token's sample in the row, from 0. epsilon_low, epsilon_high: TRL's epsilon and
    epsilon_high.
    """

    log_probs: Tensor
    old_log_probs: Tensor
    advantages: Tensor
    mask: Tensor
    sample: Tensor
    epsilon_low: float = 0.2
    epsilon_high: float = 0.2

    def mean_of_samples(self, values: Tensor) -> Tensor:
        """Return for each token the mean of `values` over the trained tokens of its sample; 0 where it has none."""
        return mean_of_samples(values, self.sample, self.mask)


def mean_of_samples(values: Tensor, samples: Tensor, mask: Tensor) -> Tensor:
    """Return for each token the mean of `values` over its sample's tokens where mask is true; all are (1, T)."""
    sample = samples.flatten()
    kept = values.masked_fill(~mask, 0.0).flatten()
    zeros = kept.new_zeros(int(sample.max()) + 1)
    sums = zeros.index_add(0, sample, kept)
    counts = zeros.index_add(0, sample, mask.flatten().to(kept.dtype))
    return (sums / counts.clamp(min=1.0))[sample].view_as(values)


@dataclass(frozen=True, slots=True)
class Surrogate:
    """What an algorithm makes of a row's tokens.

    loss: (1, T), to be minimised. outside: (1, T) bool, the tokens whose ratio is clipped. numbers: (1, T) each, by the
    key of one of the algorithm's metrics; metrics.jsonl gets their mean over the trained tokens of the step.
    """

    loss: Tensor
    outside: Tensor
    numbers: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepCounts:
    """What a divisor may be made of, over all ranks.

    budget: Phi. tokens, responses: trained in the step. max_completion_length: tokens that a response may have.
    """

    budget: int
    tokens: int
    responses: int
    max_completion_length: int

    @property
    def longest(self) -> int:
        """Return max_completion_length, by the name that it had in ringlite 0.1."""
        return self.max_completion_length


def every_token_alike(tokens: int) -> float:
    """Return weight 1, for a token of a response of any length."""
    return 1.0


def mean_over_response(tokens: int) -> float:
    """Return the weight that turns the sum over a response of `tokens` trained tokens into their mean."""
    return 1.0 / tokens if tokens else 1.0


def clipped_ratio(tokens: Tokens) -> Surrogate:
    """PPO's surrogate per token: -min(r A, clip(r, 1 - epsilon_low, 1 + epsilon_high) A), r = exp(log_probs - old)."""
    return clip_outside(torch.exp(tokens.log_probs - tokens.old_log_probs), tokens)


def clip_outside(ratio: Tensor, tokens: Tokens) -> Surrogate:
    """Return -min(r A, clip(r) A) for any ratio (1, T)."""
    low, high = 1 - tokens.epsilon_low, 1 + tokens.epsilon_high
    advantages = tokens.advantages
    loss = -torch.min(ratio * advantages, torch.clamp(ratio, low, high) * advantages)
    outside = ((ratio < low) & (advantages < 0)) | ((ratio > high) & (advantages > 0))
    return Surrogate(loss, outside)


@dataclass(frozen=True)
class Algorithm:
    """One algorithm. Files under c3po/algorithms/ hold one each; a recipe may name another as `module:object`.

    has_budget: whether responses are selected and cut for the token budget; without it every response is trained whole.
    Write it and trl_defaults as literals: `ringlite check` reads them from the source without running it.
    weight: of each token of a response with so many trained tokens. divisor: what the sum over a step is divided by.
    trl_defaults: TRL fields that the algorithm wants where a recipe does not give them.
    metrics: columns that `Surrogate.numbers` fills.
    """

    name: str
    divisor: Callable[[StepCounts], float]
    surrogate: Callable[[Tokens], Surrogate] = clipped_ratio
    weight: Callable[[int], float] = every_token_alike
    has_budget: bool = False
    trl_defaults: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
