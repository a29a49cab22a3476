"""CISPO (MiniMax-M1, arXiv 2506.13585, Eq. 4 and 5): the importance weight is clipped, never the token's gradient.

    w_t = stop_gradient(min(r_t, epsilon_high)),   r_t = pi / pi_old per token
    L   = 1 / sum_i |o_i| * sum over all tokens of -w_t A_i log pi_t

The paper writes the bound as 1 + epsilon_high, and uses no lower one. Here epsilon_high is the bound itself, as in TRL
(loss_type "cispo") and as the epsilon_max of ScaleRL (arXiv 2510.13786), whose 5.0 is the default. TRL counts only
clipped tokens of positive advantage; clip_fraction here counts all, since all of their weights are clipped.

With C3PO's divisor: CISPO trains every response and divides by the step's tokens, so a token weighs less in a step of
long responses. `replace(ALGORITHM, has_budget=True, divisor=lambda step: step.budget)` keeps exactly Phi tokens and
divides by the constant Phi; on a full budget both are the same.
"""

import torch

from ringlite_cli.c3po.algorithm import Algorithm, Surrogate, Tokens


def clipped_weight(tokens: Tokens) -> Surrogate:
    """Return the log-probability of each token, weighted by its advantage and its clipped ratio."""
    ratio = torch.exp(tokens.log_probs - tokens.old_log_probs).detach()
    loss = -ratio.clamp(max=tokens.epsilon_high) * tokens.advantages * tokens.log_probs
    return Surrogate(loss, ratio > tokens.epsilon_high)


ALGORITHM = Algorithm(
    "cispo", divisor=lambda step: step.tokens, surrogate=clipped_weight, trl_defaults={"epsilon_high": 5.0}
)
