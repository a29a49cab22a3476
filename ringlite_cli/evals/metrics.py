"""avg@k, pass@k, maj@k and entropy over problems, each with a 95 % interval by bootstrap over the problems.

A problem's k responses share its difficulty, so problems are what is resampled, never single responses. The
interval is the bias-corrected and accelerated one (BCa; Efron 1987), widened for small n as a t interval is (Hesterberg
2015, "expanded"). For few problems it is no narrower than the exact bounds of `floors`.
"""

from collections import Counter
from collections.abc import Sequence
from math import comb, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ringlite_cli.boxes import last_boxed
from ringlite_cli.evals import floors
from ringlite_cli.repetition import repeated_share

Interval = tuple[float, float]
Floats = NDArray[np.float64]

RESAMPLES = 4000
_NORMAL = NormalDist()
_CHUNK = 1 << 22  # indices drawn at once, which bounds the memory


def avg_at_k(rewards: Sequence[Sequence[float]]) -> float:
    """Mean over problems of the mean reward of a problem's responses; NaN for no problems."""
    return float(np.mean([np.mean(group) for group in rewards])) if rewards else float("nan")


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Probability that k of n responses hold a correct one; unbiased (Chen et al. 2021, arXiv 2107.03374, Eq. 1)."""
    if not 0 <= correct <= n or not 1 <= k <= n:
        raise ValueError(f"need 0 <= correct <= n and 1 <= k <= n, not n={n}, correct={correct}, k={k}")
    return 1.0 - comb(n - correct, k) / comb(n, k)


def maj_at_k(answers: Sequence[str | None], rewards: Sequence[float]) -> float:
    """The mean reward of one problem's commonest answer; answers tied for it share alike; 0 without any answer."""
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return 0.0
    most = max(counts.values())
    tied = [answer for answer, count in counts.items() if count == most]
    return float(np.mean([np.mean([r for a, r in zip(answers, rewards, strict=True) if a == t]) for t in tied]))


def repetition(response: str, length: int = 4) -> float:
    """Share of a response's word n-grams that stand in it already; 0 where it is too short to have two."""
    return repeated_share(response.split(), length)


def final_answer(response: str) -> str | None:
    """Return the content of the last complete box, without white space; None where there is none."""
    answer = last_boxed(response)
    return None if answer is None else "".join(answer.split())


def bootstrap(values: ArrayLike, weights: ArrayLike | None = None, *, seed: int = 0, level: float = 0.95) -> Interval:
    """Interval of sum(values) / sum(weights) over problems; without weights of the mean. (NaN, NaN) for no problems.

    values, weights: (n,), one entry per problem. For entropy per token: a problem's summed entropy and its tokens.
    Problems all alike tell nothing of the spread. Are they shares (rewards, 0 to 1), the interval is the exact bound
    for that share of as many problems (Clopper and Pearson 1934); of other numbers it is the point.
    """
    top = np.asarray(values, dtype=np.float64)
    if len(top) == 0:
        return float("nan"), float("nan")
    bottom = np.ones_like(top) if weights is None else np.asarray(weights, dtype=np.float64)
    point = float(top.sum() / bottom.sum())
    residual = top - point * bottom
    if weights is None and np.ptp(top) == 0 and 0 <= point <= 1:
        return floors.clopper_pearson(point * len(top), len(top), level)
    if len(top) == 1 or np.allclose(residual, 0, atol=1e-12):
        return point, point
    low, high = _bca_quantiles(_resampled(top, bottom, seed), point, residual, level)
    return low, high


def paired_difference(
    first: ArrayLike, second: ArrayLike, *, seed: int = 0, level: float = 0.95
) -> tuple[float, Interval]:
    """Mean of second - first over the same problems and its interval; pairing takes the problems' difficulty out.

    The interval is the bootstrap's, and at least the exact one of `floors.of_pairs`: a few problems that all got
    better, or that came out alike, show less than a bootstrap makes of them.
    """
    difference = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    if len(difference) == 0:
        return float("nan"), (float("nan"), float("nan"))
    point = float(difference.mean())
    if len(difference) == 1:
        return point, (-1.0, 1.0)  # of one pair nothing is known but that rewards are 0 to 1
    least = floors.of_pairs(difference, level)
    if np.ptp(difference) == 0:
        return point, least
    residual = difference - point
    low, high = _bca_quantiles(_resampled(difference, np.ones_like(difference), seed), point, residual, level)
    return point, (min(low, least[0]), max(high, least[1]))


def unpaired_difference(
    first: ArrayLike, second: ArrayLike, *, seed: int = 0, level: float = 0.95
) -> tuple[float, Interval]:
    """Mean of second - mean of first over different problems, and its interval; both need two problems.

    The interval is the percentile one, and at least what the two means' own intervals make together (Newcombe 1998).
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if min(len(a), len(b)) < 2:
        return float("nan"), (float("nan"), float("nan"))
    means = [_resampled(x, np.ones_like(x), seed + i) for i, x in enumerate((a, b))]
    low, high = np.quantile(means[1] - means[0], [(1 - level) / 2, (1 + level) / 2])
    first_ends, second_ends = bootstrap(a, seed=seed, level=level), bootstrap(b, seed=seed + 1, level=level)
    least = floors.of_two(float(a.mean()), first_ends, float(b.mean()), second_ends)
    return float(b.mean() - a.mean()), (min(float(low), least[0]), max(float(high), least[1]))


def _resampled(top: Floats, bottom: Floats, seed: int) -> Floats:
    """(RESAMPLES,) statistics of samples drawn with replacement."""
    rng = np.random.default_rng(seed)
    n, out = len(top), []
    step = max(1, _CHUNK // n)
    for start in range(0, RESAMPLES, step):
        index = rng.integers(0, n, size=(min(step, RESAMPLES - start), n), dtype=np.int32)
        out.append(top[index].sum(1) / bottom[index].sum(1))
    return np.concatenate(out)


def _bca_quantiles(stats: Floats, point: float, residual: Floats, level: float) -> Interval:
    """The two quantiles of `stats`; `residual` (n,) is proportional to each problem's influence on the statistic."""
    n = len(residual)
    below = np.mean(stats < point) + 0.5 * np.mean(stats == point)
    bias = _NORMAL.inv_cdf(float(np.clip(below, 1 / (2 * RESAMPLES), 1 - 1 / (2 * RESAMPLES))))
    acceleration = float((residual**3).sum() / (6 * (residual**2).sum() ** 1.5))
    reach = sqrt(n / (n - 1)) * _t_quantile((1 + level) / 2, n - 1)
    ends = []
    for z in (-reach, reach):
        shifted = bias + (bias + z) / max(1e-6, 1 - acceleration * (bias + z))
        ends.append(float(np.quantile(stats, _NORMAL.cdf(shifted))))
    return ends[0], ends[1]


def _t_quantile(p: float, freedom: int) -> float:
    """Student's t by the Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5), good to 1 % from 3 degrees."""
    z, v = _NORMAL.inv_cdf(p), float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / v**power for power, term in enumerate(terms, 1))
