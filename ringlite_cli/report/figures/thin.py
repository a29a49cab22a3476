"""Fewer points than steps: what is drawn of a long curve, with its spikes kept."""

from collections.abc import Sequence
from statistics import median

Point = tuple[float, float]
POINTS = 500
"""The most points drawn of a curve."""


def thin(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """At most `most` points: of each stretch its lowest and its highest, so that a spike of one step is seen."""
    if len(points) <= most:
        return list(points)
    stretches = most // 2
    kept: list[Point] = []
    for k in range(stretches):
        part = points[k * len(points) // stretches : (k + 1) * len(points) // stretches]
        low, high = min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])
        kept += sorted({low, high})
    return kept


def stretch_means(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """At most `most` points: the mean of each stretch (for areas, whose extremes mean nothing)."""
    if len(points) <= most:
        return list(points)
    found = []
    for k in range(most):
        part = points[k * len(points) // most : (k + 1) * len(points) // most]
        found.append((sum(p[0] for p in part) / len(part), sum(p[1] for p in part) / len(part)))
    return found


def smooth(points: Sequence[Point], window: int) -> list[Point]:
    """The centred moving mean over `window` steps, narrower at both ends."""
    half, sums, found = window // 2, [0.0], []
    for _, y in points:
        sums.append(sums[-1] + y)
    for k, (x, _) in enumerate(points):
        reach = min(half, k, len(points) - 1 - k)
        found.append((x, (sums[k + reach + 1] - sums[k - reach]) / (2 * reach + 1)))
    return found


def running_median(points: Sequence[Point], window: int) -> list[Point]:
    """The centred moving median over `window` steps, narrower at both ends: a spike of one step does not spread."""
    half, found = window // 2, []
    for k, (x, _) in enumerate(points):
        reach = min(half, k, len(points) - 1 - k)
        found.append((x, median(y for _, y in points[k - reach : k + reach + 1])))
    return found


def smoothing_window(steps: int) -> int:
    """The steps that the moving mean covers: odd, about a twentieth of the run, at most 501; 1 below 30 steps."""
    return 1 if steps < 30 else min(max(5, steps // 20), 501) | 1
