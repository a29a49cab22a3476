"""Intervals of few problems: bounds against tables, verdicts that so few do not carry, and how often they hold."""

import numpy as np
import pytest

from ringlite_cli.evals import floors, metrics


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 6, 0.0, 0.4593), (6, 6, 0.5407, 1.0), (3, 10, 0.0667, 0.6525), (1, 20, 0.0013, 0.2487)],
)
def test_clopper_pearson_against_the_table(successes: int, n: int, low: float, high: float) -> None:
    assert floors.clopper_pearson(successes, n) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_six_problems_that_came_out_alike_may_differ() -> None:
    """0 of 6 differ: up to 1 - 0.025 ** (1 / 6) = 45.9 % may, by 1 at most."""
    difference, (low, high) = metrics.paired_difference([0.5] * 6, [0.5] * 6)
    assert (difference, low, high) == (0.0, pytest.approx(-0.4593, abs=1e-4), pytest.approx(0.4593, abs=1e-4))


@pytest.mark.parametrize(("problems", "shown"), [(2, False), (3, False), (4, False), (5, False), (6, True), (40, True)])
@pytest.mark.parametrize("gain", [1.0, 0.25])
def test_better_needs_six_problems_that_all_got_better(problems: int, shown: bool, gain: float) -> None:
    """As McNemar's exact test: 2 * 0.5 ** 5 = 0.0625 shows nothing, 2 * 0.5 ** 6 = 0.031 does."""
    _, (low, high) = metrics.paired_difference([0.0] * problems, [gain] * problems)
    assert (low > 0) == shown
    _, (other_low, other_high) = metrics.paired_difference([gain] * problems, [0.0] * problems)
    assert (other_low, other_high) == (pytest.approx(-high), pytest.approx(-low))


def test_unlike_gains_of_two_problems_show_nothing_either() -> None:
    difference, (low, high) = metrics.paired_difference([0.0, 0.0], [0.5, 1.0])
    assert low < 0 < difference <= high


def test_different_problems_all_wrong_on_both_sides_may_differ() -> None:
    difference, (low, high) = metrics.unpaired_difference([0.0] * 6, [0.0] * 6)
    assert difference == 0
    assert low == pytest.approx(-0.4593, abs=1e-4)
    assert high == pytest.approx(0.4593, abs=1e-4)


def test_scores_all_alike_leave_doubt_whatever_they_are() -> None:
    """Six problems of 1 in 2 right each: the bounds of 3 of 6."""
    low, high = metrics.bootstrap([0.5] * 6)
    assert (low, high) == (pytest.approx(0.1181, abs=1e-4), pytest.approx(0.8819, abs=1e-4))
    assert metrics.bootstrap([48.0] * 6) == (48.0, 48.0)  # tokens are no shares


@pytest.mark.slow
@pytest.mark.parametrize(("problems", "k", "gain"), [(4, 1, 0.0), (6, 2, 0.2), (12, 1, 0.1), (60, 4, 0.1)])
def test_paired_intervals_of_few_problems_hold_the_truth_often_enough(
    problems: int, k: int, gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pass rates from Beta(1, 1), moved by `gain` within 0 to 1; 600 pairs of evaluations."""
    monkeypatch.setattr(metrics, "RESAMPLES", 500)
    rng = np.random.default_rng(3)
    rates = rng.beta(1, 1, 200_000)
    truth = float((np.clip(rates + gain, 0, 1) - rates).mean())
    held = 0
    for run in range(600):
        before = rng.beta(1, 1, problems)
        first = rng.binomial(k, before) / k
        second = rng.binomial(k, np.clip(before + gain, 0, 1)) / k
        low, high = metrics.paired_difference(first, second, seed=run)[1]
        held += low <= truth <= high
    assert held / 600 >= 0.93
