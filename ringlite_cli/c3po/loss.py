"""The loss of Eq. 2 and 6 over the tokens of a row: sums inside, the one division by Phi is the caller's.

How this differs from the paper: Eq. 6 prints +alpha*H in a loss that is minimised, while the text wants exploration;
here the entropy is subtracted, as in TRL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ringlite_cli.c3po.algorithm import Algorithm, StepCounts, Tokens
from ringlite_cli.c3po.algorithms import algorithm_of
from ringlite_cli.c3po.mismatch import Drawn, Remedy
from ringlite_cli.c3po.mismatches import rule_of
from ringlite_cli.recipe.mismatch import Mismatch


def token_weights(algorithm: str, lengths: Sequence[int]) -> list[float]:
    """Return the weight of each token of responses with so many trained tokens, before the step's one divisor."""
    return [algorithm_of(algorithm).weight(length) for length in lengths]


def step_divisor(algorithm: str, *, budget: int, tokens: int, responses: int, max_completion_length: int) -> float:
    """Return what the sum over all tokens of a step is divided by, over all ranks (see StepCounts); 1 at least."""
    return float(max(algorithm_of(algorithm).divisor(StepCounts(budget, tokens, responses, max_completion_length)), 1))


NO_REMEDY = Remedy(rule_of("none"), Mismatch())
"""Measures the mismatch, and leaves every token's weight at 1."""


@dataclass(frozen=True, slots=True)
class LossSums:
    """Sums over the trained tokens of a row, 0-dim. `loss` carries the gradient, the rest is for the log.

    numbers: of the algorithm's own metrics. mismatch: |ln k|. masked: tokens of weight 0. weight, weight_squared: of
    the remedy. drawn: the tokens as the remedy sees them, where the engine gave log-probabilities.
    """

    loss: Tensor
    kl: Tensor
    entropy: Tensor
    clipped: Tensor
    tokens: Tensor
    mismatch: Tensor
    masked: Tensor
    weight: Tensor
    weight_squared: Tensor
    drawn: Drawn | None = None
    numbers: Mapping[str, Tensor] = field(default_factory=dict)


def token_losses(
    log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    entropy: Tensor,
    algorithm: Algorithm | None = None,
    sample: Tensor | None = None,
    old_log_probs: Tensor | None = None,
    ref_log_probs: Tensor | None = None,
    sampling_log_probs: Tensor | None = None,
    weights: Tensor | None = None,
    remedy: Remedy | None = None,
    epsilon_low: float = 0.2,
    epsilon_high: float = 0.2,
    kl_coef: float = 0.0,
    entropy_coef: float = 0.0,
) -> LossSums:
    """Sum the algorithm's surrogate + beta*k3 - alpha*H over the tokens where mask is true.

    All tensors are (1, T). algorithm: C3PO's by default, whose surrogate is -min(r*A, clip(r)*A) with
    r = exp(log_probs - old_log_probs); r is 1 with its gradient where old_log_probs is None (on-policy). sample: the
    number of each token's sample, from 0; by default they are all of one. k3 = exp(d) - d - 1 with d = ref - policy,
    without a ratio in front. entropy: nats per token.
    sampling_log_probs: the engine's, of the tokens that it drew; NaN where it gave none. Their mean absolute distance
    to old_log_probs is `mismatch`; the surrogate of a token, not KL or entropy, is multiplied by the remedy's weight,
    which is 1 where the engine gave none. weights: of each token, in `loss` alone.
    """
    old = log_probs.detach() if old_log_probs is None else old_log_probs
    sample = torch.zeros_like(mask, dtype=torch.long) if sample is None else sample
    seen = Tokens(log_probs, old, advantages, mask, sample, epsilon_low, epsilon_high)
    surrogate = (algorithm or algorithm_of("c3po")).surrogate(seen)
    loss = surrogate.loss
    drawn, correction = _mismatch(seen, sampling_log_probs, remedy)
    if drawn is not None and remedy is not None:
        loss = loss * correction
    kl = _k3(log_probs, ref_log_probs)
    if ref_log_probs is not None:
        loss = loss + kl_coef * kl
    if entropy_coef:
        loss = loss - entropy_coef * entropy
    if weights is not None:
        loss = loss * weights

    def total(x: Tensor) -> Tensor:
        return x.masked_fill(~mask, 0.0).sum()

    return LossSums(
        loss=total(loss),
        kl=total(kl.detach()),
        entropy=total(entropy.detach()),
        clipped=total(surrogate.outside.float()),
        tokens=mask.sum(),
        mismatch=total(correction.new_zeros(()).expand_as(correction) if drawn is None else drawn.log_k.abs()),
        masked=total((correction == 0).float()),
        weight=total(correction),
        weight_squared=total(correction.square()),
        drawn=drawn,
        numbers={key: total(value.detach()) for key, value in surrogate.numbers.items()},
    )


def _k3(log_probs: Tensor, ref_log_probs: Tensor | None) -> Tensor:
    """Return Schulman's estimate of each token's KL to the reference, never negative; 0 without one."""
    if ref_log_probs is None:
        return torch.zeros_like(log_probs)
    distance = ref_log_probs - log_probs
    return torch.exp(distance) - distance - 1


def _mismatch(seen: Tokens, sampling_log_probs: Tensor | None, remedy: Remedy | None) -> tuple[Drawn | None, Tensor]:
    """Return what is known of the engine's draws (None without its log-probs), and each token's weight for it."""
    correction = torch.ones_like(seen.log_probs)
    if sampling_log_probs is None:
        return None, correction
    drift = torch.nan_to_num(seen.old_log_probs.detach() - sampling_log_probs, nan=0.0)
    drawn = (remedy or NO_REMEDY).drawn(drift, seen.old_log_probs, seen.mask, seen.sample)
    if remedy is not None:
        correction = remedy.rule.weigh(drawn).masked_fill(sampling_log_probs.isnan(), 1.0)
    return drawn, correction
