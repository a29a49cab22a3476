"""What an interval is at least: exact bounds for few problems, where resampling sees too little of what can happen.

A bootstrap never leaves the range of what it was given: of two problems that both got better it says "better", of six
that came out alike it says that nothing can differ. The bounds here are Clopper and Pearson's (1934) on shares of
problems; two shares are put together by squares (Newcombe 1998).
"""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]


def clopper_pearson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Exact bounds of a share, of `successes` out of n; a mean of shares counts as that many successes.

    >>> [round(end, 3) for end in clopper_pearson(0, 6)]
    [0.0, 0.459]
    """
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return low, high


def of_pairs(difference: NDArray[np.float64], level: float = 0.95) -> Interval:
    """The floor of a mean paired difference. difference: (n,), of each problem, n > 0.

    It holds both the bounds by the shares of all problems that were won and lost, and those by the share won of the
    problems that differ (McNemar's exact test turned into an interval). Where none differs, as many may as the exact
    bound lets, by 1 at most, the range of a reward, or by the largest there is.
    """
    n = len(difference)
    wins, losses = difference[difference > 0], -difference[difference < 0]
    if not len(wins) and not len(losses):
        most = clopper_pearson(0, n, level)[1]
        return -most, most
    gain = float(wins.mean()) if len(wins) else float(losses.mean())
    loss = float(losses.mean()) if len(losses) else gain
    won, lost = len(wins) / n, len(losses) / n
    won_ends, lost_ends = clopper_pearson(len(wins), n, level), clopper_pearson(len(losses), n, level)
    point = won * gain - lost * loss
    low = point - sqrt((gain * (won - won_ends[0])) ** 2 + (loss * (lost_ends[1] - lost)) ** 2)
    high = point + sqrt((gain * (won_ends[1] - won)) ** 2 + (loss * (lost - lost_ends[0])) ** 2)
    among = clopper_pearson(len(wins), len(wins) + len(losses), level)
    by_sign = [(won + lost) * (share * gain - (1 - share) * loss) for share in among]
    return min(low, by_sign[0]), max(high, by_sign[1])


def of_two(first: float, first_ends: Interval, second: float, second_ends: Interval) -> Interval:
    """The interval of second - first from the interval of each, by squares."""
    difference = second - first
    low = difference - sqrt((second - second_ends[0]) ** 2 + (first_ends[1] - first) ** 2)
    high = difference + sqrt((second_ends[1] - second) ** 2 + (first - first_ends[0]) ** 2)
    return low, high
