"""C3PO (Ring-lite, arXiv 2506.14731, Eq. 2 and 3): exactly Phi tokens a step, and Phi as the divisor.

    L = 1/Phi * sum over the kept tokens of -min(r A, clip(r) A),   r = pi / pi_old per token

Phi is constant, so a step with longer responses does not weigh a token less.
"""

from ringlite_cli.c3po.algorithm import Algorithm

ALGORITHM = Algorithm("c3po", divisor=lambda step: step.budget, has_budget=True)
