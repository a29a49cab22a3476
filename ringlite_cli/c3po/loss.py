"""The loss of Eq. 2 and 6 over the tokens of a row: sums inside, the one division by Phi is the caller's.

How this differs from the paper: Eq. 6 prints +alpha*H in a loss that is minimised, while the text wants exploration;
here the entropy is subtracted, as in TRL.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ringlite_cli.recipe.c3po import Algorithm


def token_weights(algorithm: Algorithm, lengths: Sequence[int]) -> list[float]:
    """The weight of each token of responses with so many trained tokens, before the step's one divisor.

    grpo takes the mean over responses of their means; c3po, dapo and dr_grpo weigh every token alike.
    """
    return [1.0 / length if algorithm == "grpo" and length else 1.0 for length in lengths]


def step_divisor(algorithm: Algorithm, *, budget: int, tokens: int, responses: int, longest: int) -> float:
    """What the sum over all tokens of a step is divided by, over all ranks.

    c3po: the budget Phi. dapo: the step's trained tokens. grpo: its responses. dr_grpo: its responses times
    `longest`, the length that a response may have (max_completion_length).
    """
    divisors = {"c3po": budget, "dapo": tokens, "grpo": responses, "dr_grpo": responses * longest}
    return float(max(divisors[algorithm], 1))


@dataclass(frozen=True, slots=True)
class LossSums:
    """Sums over the trained tokens of a row, 0-dim. `loss` carries the gradient, the rest is for the log."""

    loss: Tensor
    kl: Tensor
    entropy: Tensor
    clipped: Tensor
    tokens: Tensor
    mismatch: Tensor


def token_losses(
    log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    entropy: Tensor,
    old_log_probs: Tensor | None = None,
    ref_log_probs: Tensor | None = None,
    sampling_log_probs: Tensor | None = None,
    weights: Tensor | None = None,
    importance_cap: float | None = None,
    epsilon_low: float = 0.2,
    epsilon_high: float = 0.2,
    kl_coef: float = 0.0,
    entropy_coef: float = 0.0,
) -> LossSums:
    """Sums -min(r*A, clip(r)*A) + beta*k3 - alpha*H over the tokens where mask is true.

    All tensors are (1, T). r = exp(log_probs - old_log_probs), 1 with its gradient where old_log_probs is None
    (on-policy). k3 = exp(d) - d - 1 with d = ref - policy, without a ratio in front. entropy: nats per token.
    sampling_log_probs: the engine's, of the tokens that it drew; NaN where it gave none. Their mean absolute distance
    to old_log_probs is `mismatch`; with importance_cap the clipped term of a token is multiplied by
    min(exp(old - sampling), cap), the truncated importance correction. weights: of each token, in `loss` alone.
    """
    old = log_probs.detach() if old_log_probs is None else old_log_probs
    ratio = torch.exp(log_probs - old)
    bounded = torch.clamp(ratio, 1 - epsilon_low, 1 + epsilon_high)
    loss = -torch.min(ratio * advantages, bounded * advantages)
    mismatch = torch.zeros_like(log_probs)
    if sampling_log_probs is not None:
        drift = torch.nan_to_num(old.detach() - sampling_log_probs, nan=0.0)
        mismatch = drift.abs()
        if importance_cap is not None:
            loss = loss * torch.exp(drift).clamp(max=importance_cap)
    outside = ((ratio < 1 - epsilon_low) & (advantages < 0)) | ((ratio > 1 + epsilon_high) & (advantages > 0))

    kl = torch.zeros_like(log_probs)
    if ref_log_probs is not None:
        distance = ref_log_probs - log_probs
        kl = torch.exp(distance) - distance - 1
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
        clipped=total(outside.float()),
        tokens=mask.sum(),
        mismatch=total(mismatch),
    )
