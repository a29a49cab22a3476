"""The metrics by hand-worked values, and their intervals by how often they hold the truth."""

from itertools import combinations
from math import isnan

import numpy as np
import pytest

from ringlite_cli.evals import metrics


def test_avg_at_k_weighs_problems_alike() -> None:
    assert metrics.avg_at_k([[1, 0, 0, 0], [1, 1]]) == (0.25 + 1.0) / 2
    assert isnan(metrics.avg_at_k([]))


@pytest.mark.parametrize(("n", "correct", "k"), [(5, 2, 3), (6, 1, 2), (4, 0, 4), (4, 4, 1), (4, 1, 4)])
def test_pass_at_k_is_the_share_of_draws_with_a_correct_response(n: int, correct: int, k: int) -> None:
    rewards = [1] * correct + [0] * (n - correct)
    draws = list(combinations(rewards, k))
    assert metrics.pass_at_k(n, correct, k) == pytest.approx(sum(map(any, draws)) / len(draws))


@pytest.mark.parametrize(("n", "correct", "k"), [(4, 5, 1), (4, 2, 5), (4, 2, 0), (4, -1, 1)])
def test_pass_at_k_refuses_what_makes_no_sense(n: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="need 0 <= correct <= n"):
        metrics.pass_at_k(n, correct, k)


@pytest.mark.parametrize(
    ("answers", "rewards", "expected"),
    [
        (["7", "7", "8"], [1, 1, 0], 1.0),
        (["7", "8", "8"], [1, 0, 0], 0.0),
        (["7", "8"], [1, 0], 0.5),  # tied answers share
        ([None, None, "7"], [0, 0, 1], 1.0),  # a response without an answer has no vote
        ([None], [0], 0.0),
    ],
)
def test_maj_at_k(answers: list[str | None], rewards: list[float], expected: float) -> None:
    assert metrics.maj_at_k(answers, rewards) == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (r"so \boxed{1} or rather \boxed{ \frac{1}{2} }.", r"\frac{1}{2}"),
        (r"\boxed{3} and then cut \boxed{4", "3"),
        ("no box", None),
        ("", None),
    ],
)
def test_final_answer_is_the_last_whole_box(response: str, expected: str | None) -> None:
    assert metrics.final_answer(response) == expected


SHAPES = [(50, 4, 0.5, 1.5), (100, 4, 0.5, 2.0), (100, 1, 2.0, 2.0), (200, 4, 0.3, 3.0), (30, 16, 1.0, 1.0)]


@pytest.mark.slow
@pytest.mark.parametrize(("problems", "k", "a", "b"), SHAPES)
def test_a_95_percent_interval_holds_the_truth_in_93_to_97_of_100_runs(
    problems: int, k: int, a: float, b: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pass rates of problems drawn from Beta(a, b), k responses each, 1,000 evaluations."""
    monkeypatch.setattr(metrics, "RESAMPLES", 1000)
    rng = np.random.default_rng(1)
    held = 0
    for run in range(1000):
        means = rng.binomial(k, rng.beta(a, b, problems)) / k
        low, high = metrics.bootstrap(means, seed=run)
        held += low <= a / (a + b) <= high
    assert 0.93 <= held / 1000 <= 0.97


def test_entropy_per_token_is_a_ratio_with_an_interval() -> None:
    """Problems with longer responses weigh more; coverage of the ratio as for means."""
    rng = np.random.default_rng(2)
    held = 0
    for run in range(300):
        tokens = rng.integers(10, 200, 60)
        summed = tokens * rng.gamma(4.0, 0.1, 60)  # 0.4 nats per token on average
        low, high = metrics.bootstrap(summed, tokens, seed=run)
        held += low <= 0.4 <= high
    assert 0.92 <= held / 300 <= 0.98
    assert metrics.bootstrap([10.0, 40.0], [20, 80]) == (0.5, 0.5)


def test_the_interval_is_the_same_each_time_and_inside_the_values() -> None:
    values = [0.0, 0.25, 1.0, 0.5, 0.75, 0.0]
    assert metrics.bootstrap(values, seed=4) == metrics.bootstrap(values, seed=4)
    low, high = metrics.bootstrap(values)
    assert 0 <= low < np.mean(values) < high <= 1


def test_all_wrong_or_all_right_still_leaves_doubt() -> None:
    """20 problems without a success: up to 1 - 0.025 ** (1 / 20) = 16.8 % may succeed."""
    assert metrics.bootstrap([0.0] * 20) == (0.0, pytest.approx(0.1684, abs=1e-4))
    assert metrics.bootstrap([1.0] * 20) == (pytest.approx(0.8316, abs=1e-4), 1.0)
    assert all(map(isnan, metrics.bootstrap([])))


def test_pairs_find_a_difference_that_separate_intervals_do_not() -> None:
    rng = np.random.default_rng(5)
    first = rng.random(80)
    second = np.clip(first + rng.normal(0.05, 0.05, 80), 0, 1)
    difference, (low, high) = metrics.paired_difference(first, second)
    assert 0 < low < difference < high
    assert metrics.bootstrap(first)[1] > metrics.bootstrap(second)[0], "alone, the two overlap"
    most = 1 - 0.025 ** (1 / 80)  # none of 80 differs: up to 4.5 % may
    assert metrics.paired_difference(first, first) == (0.0, (pytest.approx(-most), pytest.approx(most)))
    assert metrics.paired_difference([0.0], [1.0]) == (1.0, (-1.0, 1.0)), "one pair shows nothing"


@pytest.mark.parametrize(("freedom", "expected"), [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)])
def test_t_quantiles_against_the_table(freedom: int, expected: float) -> None:
    assert metrics._t_quantile(0.975, freedom) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("response", "share"),
    [("", 0.0), ("a b c", 0.0), ("a b c d e", 0.0), ("a b a b a b a", 0.5), ("x " * 104, 100 / 101)],
)
def test_repetition_is_the_share_of_4_grams_seen_before(response: str, share: float) -> None:
    assert metrics.repetition(response) == pytest.approx(share)
