"""Accuracy and calibration of margins: golden numbers, worked by hand."""

from math import exp, log

import pytest

from ringlite_cli.evals.calibration import BINS, held_out_numbers, wilson
from ringlite_cli.evals.plot import calibration_svg


def test_wilson_is_the_published_interval() -> None:
    """8 of 10: (0.8 + z2/20 -+ z sqrt(0.016 + z2/400)) / (1 + z2/10) with z = 1.96."""
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(10, 10)[1] == pytest.approx(1.0)


def test_margins_become_numbers() -> None:
    found = held_out_numbers([2.0, -1.0, 0.0, 0.0])
    sure = [1 / (1 + exp(-m)) for m in (2.0, -1.0, 0.0, 0.0)]
    assert (found["pairs"], found["accuracy"], found["ties"]) == (4, 0.25, 2)  # a tie is not ranked right
    assert found["brier"] == pytest.approx(sum((1 - p) ** 2 for p in sure) / 4)
    assert found["log_loss"] == pytest.approx(-sum(log(p) for p in sure) / 4)
    assert [(b["from"], b["pairs"], b["accuracy"]) for b in found["bins"]] == [
        (0.5, 2, 0.0), (pytest.approx(0.7), 1, 0.0), (pytest.approx(0.85), 1, 1.0)]  # fmt: skip
    wanted = (2 * 0.5 + 1 * (1 - sure[1]) + 1 * (1 - sure[0])) / 4
    assert found["calibration_error"] == pytest.approx(wanted)


def test_a_calibrated_model_has_no_error_and_large_margins_no_overflow() -> None:
    right = round(1000 / (1 + exp(-1.0)))
    found = held_out_numbers([1.0] * right + [-1.0] * (1000 - right))
    assert found["calibration_error"] < 1e-3
    extreme = held_out_numbers([1e4, -1e4])
    assert extreme["log_loss"] == pytest.approx(5000)
    assert len(extreme["bins"]) == 1 <= BINS


def test_nothing_held_out_is_said_and_drawn_as_nothing() -> None:
    assert held_out_numbers([])["accuracy"] is None
    assert "<svg" in calibration_svg(held_out_numbers([]))
    assert "Calibration" in calibration_svg(held_out_numbers([1.0, -0.2, 0.4]))
