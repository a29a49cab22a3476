"""The loss of Eq. 2 and 6 over the tokens of a row: sums inside, the one division by Phi is the caller's.

How this differs from the paper: Eq. 6 prints +alpha*H in a loss that is minimised, while the text wants exploration;
here the entropy is subtracted, as in TRL.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LossSums:
    """Sums over the trained tokens of a row, 0-dim. `loss` carries the gradient, the rest is for the log."""

    loss: Tensor
    kl: Tensor
    entropy: Tensor
    clipped: Tensor
    tokens: Tensor


def token_losses(
    log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    entropy: Tensor,
    old_log_probs: Tensor | None = None,
    ref_log_probs: Tensor | None = None,
    epsilon_low: float = 0.2,
    epsilon_high: float = 0.2,
    kl_coef: float = 0.0,
    entropy_coef: float = 0.0,
) -> LossSums:
    """Sums -min(r*A, clip(r)*A) + beta*k3 - alpha*H over the tokens where mask is true.

    All tensors are (1, T). r = exp(log_probs - old_log_probs), 1 with its gradient where old_log_probs is None
    (on-policy). k3 = exp(d) - d - 1 with d = ref - policy, without a ratio in front. entropy: nats per token.
    """
    old = log_probs.detach() if old_log_probs is None else old_log_probs
    ratio = torch.exp(log_probs - old)
    bounded = torch.clamp(ratio, 1 - epsilon_low, 1 + epsilon_high)
    loss = -torch.min(ratio * advantages, bounded * advantages)
    outside = ((ratio < 1 - epsilon_low) & (advantages < 0)) | ((ratio > 1 + epsilon_high) & (advantages > 0))

    kl = torch.zeros_like(log_probs)
    if ref_log_probs is not None:
        distance = ref_log_probs - log_probs
        kl = torch.exp(distance) - distance - 1
        loss = loss + kl_coef * kl
    if entropy_coef:
        loss = loss - entropy_coef * entropy

    def total(x: Tensor) -> Tensor:
        return x.masked_fill(~mask, 0.0).sum()

    return LossSums(
        loss=total(loss),
        kl=total(kl.detach()),
        entropy=total(entropy.detach()),
        clipped=total(outside.float()),
        tokens=mask.sum(),
    )
