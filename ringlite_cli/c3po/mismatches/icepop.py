"""IcePop (Ring-1T, arXiv 2510.18855, section 2.3.2): a token weighs k inside a band, and 0 outside.

    w = k where low <= k <= high, else 0;  low = 0.5, high = 5

The step's divisor stays what it is: with C3PO, the constant Phi.
"""

import torch

from ringlite_cli.c3po.mismatch import Rule
from ringlite_cli.recipe.mismatch import BANDS

RULE = Rule(
    "icepop", weigh=lambda drawn: torch.where(drawn.inside(drawn.k), drawn.k, 0.0), band=BANDS["icepop"], masks=True
)
