"""How well a reward model tells better from worse responses, and whether its margins mean what they say.

The margin of a pair is the score of the better response less that of the worse one; the model is sure of its choice by
sigmoid(|margin|), from a half to 1. A calibrated model is right as often as it is sure.
"""

from collections.abc import Sequence
from math import exp, log, log1p
from typing import Any

BINS = 10
_EDGE = 0.5


def held_out_numbers(margins: Sequence[float]) -> dict[str, Any]:
    """Return accuracy with Wilson's 95 % interval, log loss, Brier score, calibration error and the bins, as JSON."""
    count = len(margins)
    if not count:
        return {"pairs": 0, "accuracy": None, "ci95": None, "bins": []}
    right = sum(margin > 0 for margin in margins)
    bins = _bins(margins)
    return {
        "pairs": count,
        "accuracy": right / count,
        "ci95": list(wilson(right, count)),
        "ties": sum(margin == 0 for margin in margins),
        "margin_mean": sum(margins) / count,
        "log_loss": sum(_log_loss(margin) for margin in margins) / count,
        "brier": sum((1 - _sure(margin)) ** 2 for margin in margins) / count,
        "calibration_error": sum(b["pairs"] * abs(b["accuracy"] - b["confidence"]) for b in bins) / count,
        "bins": bins,
    }


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a share."""
    from scipy.stats import binomtest

    interval = binomtest(right, count).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _bins(margins: Sequence[float]) -> list[dict[str, Any]]:
    """Bins of equal width in confidence; empty ones are left out."""
    found: dict[int, list[float]] = {}
    for margin in margins:
        place = int((_sure(abs(margin)) - _EDGE) / (1 - _EDGE) * BINS)
        found.setdefault(min(BINS - 1, place), []).append(margin)
    width = (1 - _EDGE) / BINS
    rows = []
    for place, inside in sorted(found.items()):
        right = sum(margin > 0 for margin in inside)
        rows.append(
            {
                "from": _EDGE + place * width,
                "to": _EDGE + (place + 1) * width,
                "pairs": len(inside),
                "confidence": sum(_sure(abs(margin)) for margin in inside) / len(inside),
                "accuracy": right / len(inside),
                "ci95": list(wilson(right, len(inside))),
            }
        )
    return rows


def _sure(margin: float) -> float:
    return 1 / (1 + exp(-margin)) if margin >= 0 else exp(margin) / (1 + exp(margin))


def _log_loss(margin: float) -> float:
    return log1p(exp(-margin)) if margin >= 0 else log(1 + exp(margin)) - margin
