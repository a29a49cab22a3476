"""DAPO (arXiv 2503.14476, Eq. 8): the mean over all tokens of the step.

    L = 1 / sum_i |o_i| * sum over all tokens of -min(r A, clip(r) A)

Every response is trained. The divisor moves with the length of responses.
"""

from ringlite_cli.c3po.algorithm import Algorithm

ALGORITHM = Algorithm("dapo", divisor=lambda step: step.tokens)
