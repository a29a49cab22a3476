"""Dr. GRPO (arXiv 2503.20783): the sum over tokens, divided by the responses times the longest that one may be.

    L = 1 / (N * max_completion_length) * sum over all tokens of -min(r A, clip(r) A)

Every response is trained. Advantages are not divided by their group's standard deviation.
"""

from ringlite_cli.c3po.algorithm import Algorithm

ALGORITHM = Algorithm(
    "dr_grpo", divisor=lambda step: step.responses * step.max_completion_length, trl_defaults={"scale_rewards": "none"}
)
