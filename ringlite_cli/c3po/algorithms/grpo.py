"""GRPO (DeepSeekMath, arXiv 2402.03300, Eq. 3): the mean over responses of their means over tokens.

    L = 1/N * sum_i 1/|o_i| * sum_t -min(r A, clip(r) A)

Every response is trained. The divisor N, the step's responses, is constant unless responses lack a verdict.
"""

from ringlite_cli.c3po.algorithm import Algorithm, mean_over_response

ALGORITHM = Algorithm("grpo", divisor=lambda step: step.responses, weight=mean_over_response)
