"""A mask per response: it weighs 1 where the geometric mean of its k is inside a band, and 0 outside.

    w = 1 where low <= exp(mean of ln k over the response's trained tokens) <= high, else 0;  low = 0.99, high = 1.01

A sum instead of the mean would let long responses go first. The band of SkyRL is [0.99, 1.01], that of NeMo-RL for
reasoning [0.999, 1.002].
"""

from ringlite_cli.c3po.mismatch import Rule
from ringlite_cli.recipe.mismatch import BANDS

RULE = Rule(
    "geometric",
    weigh=lambda drawn: drawn.inside(drawn.mean_of_samples(drawn.log_k).exp()).to(drawn.log_k.dtype),
    band=BANDS["geometric"],
    masks=True,
)
