"""KPop (arXiv 2606.15079, section 3.2): IcePop with a region that narrows where a token is likely.

    w = k where D(p || q) <= phi and D(q || p) <= phi, else 0
    D(p || q) = p ln(p/q) + (1-p) ln((1-p)/(1-q))

p: the token's probability in the trainer, q: in the engine. phi is not published. The paper's figure masks 22 to 34 %
of the tokens at a mean |ln k| of 0.025 to 0.031, so phi is calibrated: each step takes the bound that would have masked
`masked_share` of the tokens of the step before. The first step has no bound and masks none. A `divergence` fixes phi.
"""

import torch
from torch import Tensor

from ringlite_cli.c3po.mismatch import Drawn, Rule

_NEVER_ONE = 1e-7


def divergence(drawn: Drawn) -> Tensor:
    """Return the larger of both divergences between two events of a token's probabilities, in nats; (1, T)."""
    p = drawn.old_log_probs.exp().clamp(max=1 - _NEVER_ONE)
    q = (drawn.old_log_probs - drawn.log_k).exp().clamp(max=1 - _NEVER_ONE)
    rest = torch.log1p(-p) - torch.log1p(-q)
    forward = p * drawn.log_k + (1 - p) * rest
    backward = -q * drawn.log_k - (1 - q) * rest
    return torch.maximum(forward, backward)


RULE = Rule(
    "kpop",
    weigh=lambda drawn: torch.where(divergence(drawn) <= drawn.bound, drawn.k, 0.0),
    masks=True,
    calibrated_by=divergence,
)
