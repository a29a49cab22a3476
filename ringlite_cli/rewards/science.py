"""Science: numbers within a tolerance and in any unit of the same kind; everything else as in math."""

import math
from concurrent.futures import Future

from ringlite_cli.boxes import final_boxed
from ringlite_cli.problems import Verdict
from ringlite_cli.rewards.math import CORRECT, WRONG, done, verify_math
from ringlite_cli.rewards.normalise import answer_texts
from ringlite_cli.rewards.pool import RewardPool
from ringlite_cli.rewards.units import Quantity, read_quantity, read_unit


def verify_science(answer: object, response: str, pool: RewardPool, tolerance: float) -> "Future[Verdict]":
    """The verdict on one response. `tolerance` is relative; two plain integers must be equal.

    Where both have a unit, they are compared in SI; where only one has, its number counts as it stands.
    """
    boxed = final_boxed(response)
    golds = answer_texts(answer)
    if boxed is not None and golds:
        verdicts = [compare_quantities(gold, boxed, tolerance) for gold in golds]
        if CORRECT in verdicts:
            return done(CORRECT)
        if all(v == WRONG for v in verdicts):
            return done(WRONG, f"expected {golds[0][:80]}, got {boxed[:80]} (tolerance {tolerance:g})")
    return verify_math(answer, response, pool, tolerance)


def compare_quantities(gold: str, answer: str, tolerance: float) -> str | None:
    """correct or wrong for two numbers with or without units; None when one of them is something else."""
    want, got = read_quantity(gold), read_quantity(answer)
    if want is None or got is None:
        return None
    if want.scale or got.scale:
        return _compare_temperatures(want, got, tolerance)
    if want.unit and got.unit:
        if want.unit.dimension != got.unit.dimension:
            return WRONG
        return _near(want.value * want.unit.factor, got.value * got.unit.factor, tolerance)
    if want.unit is None and got.unit is None and _both_integers(want, got):
        return CORRECT if want.value == got.value else WRONG
    plain = _near(want.value, got.value, tolerance)
    ratios = [q.unit for q in (want, got) if q.unit and not any(q.unit.dimension)]  # 25 % is 25, and 0.25
    if ratios and max(abs(want.value), abs(got.value)) < 1 - tolerance:
        plain = WRONG  # 0.5 without its sign is a half
    return _near(_si(want), _si(got), tolerance) if plain == WRONG and ratios else plain


_KELVIN = read_unit("K")


def _compare_temperatures(want: Quantity, got: Quantity, tolerance: float) -> str:
    """Compare temperatures in the scale of the gold answer. A number without a unit is taken to be in that scale."""
    scales = [q.scale or ("K" if q.unit == _KELVIN else "" if q.unit is None else "?") for q in (want, got)]
    if "?" in scales:
        return WRONG
    if "" in scales or scales[0] == scales[1]:
        return _near(want.value, got.value, tolerance)
    celsius = {"C": got.value, "F": (got.value - 32) / 1.8, "K": got.value - 273.15}[scales[1]]
    return _near(want.value, {"C": celsius, "F": celsius * 1.8 + 32, "K": celsius + 273.15}[scales[0]], tolerance)


def _si(quantity: Quantity) -> float:
    return quantity.value * (quantity.unit.factor if quantity.unit else 1.0)


def _both_integers(want: Quantity, got: Quantity) -> bool:
    return want.integer and got.integer


def _near(want: float, got: float, tolerance: float) -> str:
    return CORRECT if math.isclose(want, got, rel_tol=tolerance, abs_tol=1e-300) else WRONG
