"""Means and intervals over seeds, against numbers worked by hand."""

import pytest

from ringlite_cli.evals.arms import mean_over_seeds


def test_the_interval_is_students_t_over_the_seeds() -> None:
    """Three differences 1, 2, 3: mean 2, sd 1, and t with 2 degrees of freedom at 97.5 % is 4.302653."""
    found = mean_over_seeds([1.0, 2.0, 3.0])
    assert found["mean"] == pytest.approx(2.0)
    assert found["sd"] == pytest.approx(1.0)
    assert found["ci95"] == pytest.approx([2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5], abs=1e-5)


def test_one_seed_has_no_spread_and_equal_seeds_have_none() -> None:
    assert mean_over_seeds([0.4]) == {"mean": 0.4, "sd": None, "ci95": None}
    assert mean_over_seeds([0.25, 0.25]) == {"mean": 0.25, "sd": 0.0, "ci95": [0.25, 0.25]}
