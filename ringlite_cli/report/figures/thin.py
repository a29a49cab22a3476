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


def stretches(points: Sequence[Point], most: int) -> list[tuple[float, float, float]]:
    """(first x, last x, mean y) of at most `most` stretches of about as many points each."""
    parts = min(most, len(points))
    cut = [points[k * len(points) // parts : (k + 1) * len(points) // parts] for k in range(parts)]
    return [(part[0][0], part[-1][0], sum(y for _, y in part) / len(part)) for part in cut]


def smooth(points: Sequence[Point], window: int) -> list[Point]:
    """The centred moving mean over `window` steps, narrower at both ends."""
    half, sums, found = window // 2, [0.0], []
    for _, y in points:
        sums.append(sums[-1] + y)
    for k, (x, _) in enumerate(points):
        reach = min(half, k, len(points) - 1 - k)
        found.append((x, (sums[k + reach + 1] - sums[k - reach]) / (2 * reach + 1)))
    return found


def running_median(points: Sequence[Point], window: int, most: int = POINTS) -> list[Point]:
    """The centred moving median over `window` steps, narrower at both ends: a spike of one step does not spread.

    Of a long curve it is worked at `most` places, evenly spread, the ends among them.
    """
    half, last = window // 2, len(points) - 1
    places = range(len(points)) if len(points) <= most else [round(k * last / (most - 1)) for k in range(most)]
    found = []
    for k in places:
        reach = min(half, k, last - k)
        found.append((points[k][0], median(y for _, y in points[k - reach : k + reach + 1])))
    return found


def smoothing_window(steps: int) -> int:
    """The steps that the moving mean covers: odd, about a twentieth of the run, at most 501; 1 below 30 steps."""
    return 1 if steps < 30 else min(max(5, steps // 20), 501) | 1
