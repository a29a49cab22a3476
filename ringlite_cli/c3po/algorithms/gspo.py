"""GSPO (Group Sequence Policy Optimization, arXiv 2507.18071, Eq. 5 to 7): one ratio per response.

    s_i = (pi(y_i) / pi_old(y_i)) ^ (1 / |y_i|) = exp(mean over the trained tokens t of y_i of log r_t)
    L   = 1/N * sum_i -min(s_i A_i, clip(s_i, 1 - epsilon, 1 + epsilon_high) A_i)

N: the step's responses. The gradient goes through s_i, so each token of a response gets s_i / |y_i| of it.
The defaults of epsilon are the paper's (section 5.1). TRL: loss_type "grpo", importance_sampling_level "sequence".

How it is packed: every trained token of a response carries the whole term, and weighs 1/|y_i|. The mean is over the
trained tokens alone: not over tool output, nor over what a budget cut off. A response stands whole in one row.

With C3PO's divisor: GSPO has none; it trains every response, and N counts responses. The sequence ratio needs no
particular divisor, though. `replace(ALGORITHM, has_budget=True, weight=every_token_alike, divisor=lambda step:
step.budget)` keeps exactly Phi tokens and divides by Phi: each kept token carries its response's term, whose ratio is
then over the kept tokens, and long responses weigh more, as they do in C3PO.
"""

import torch

from ringlite_cli.c3po.algorithm import Algorithm, Surrogate, Tokens, clip_outside, mean_over_response


def sequence_ratio(tokens: Tokens) -> Surrogate:
    """Return the clipped surrogate of each response's own ratio, at each of its tokens."""
    return clip_outside(torch.exp(tokens.mean_of_samples(tokens.log_probs - tokens.old_log_probs)), tokens)


ALGORITHM = Algorithm(
    "gspo",
    divisor=lambda step: step.responses,
    surrogate=sequence_ratio,
    weight=mean_over_response,
    trl_defaults={"epsilon": 3e-4, "epsilon_high": 4e-4},
)
