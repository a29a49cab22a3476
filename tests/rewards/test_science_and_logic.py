"""Numbers with units, and short exact answers."""

import pytest

from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.rewards.logic import verify_logic
from ringlite_cli.rewards.science import compare_quantities
from ringlite_cli.rewards.units import read_quantity


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("9.6", "9.55", "correct"),
        ("9.6", "9.4", "wrong"),
        ("100", "101", "wrong"),
        ("100", "100.5", "correct"),
        ("3.3e12", r"3.31 \times 10^{12}", "correct"),
        ("1e11", "10^{11}", "correct"),
        ("5 m", "500 cm", "correct"),
        ("5 m", "5 s", "wrong"),
        ("5 m", "5", "correct"),
        ("5", r"5 \mathrm{~m/s}", "correct"),
        ("36 km/h", r"10 \frac{\text{m}}{\text{s}}", "correct"),
        (r"10 \text{ m/s}^2", r"10\,\mathrm{m\,s^{-2}}", "correct"),
        ("1 kWh", "3.6 MJ", "correct"),
        ("4.2 J/(kg K)", "4.2 J kg^-1 K^-1", "correct"),
        (r"41.8^\circ", "0.7295", "wrong"),
        (r"180^\circ", r"180 \text{ degrees}", None),
        ("25 %", "0.25", "correct"),
        ("25 %", "25", "correct"),
        ("25 %", "2.5", "wrong"),
        ("0.5 %", "0.005", "correct"),
        ("0.5 %", "0.5", "wrong"),
        ("0.5", "0.5 %", "wrong"),
        ("x", "5", None),
        ("0", "0", "correct"),
        ("0", "0.001", "wrong"),
        ("5", "1e999", "wrong"),
    ],
)
def test_quantities(gold, answer, expected):
    assert compare_quantities(gold, answer, 0.01) == expected


@pytest.mark.parametrize("text", ["", "abc", "5 flurbs", "1/2", r"\frac{1}{2}", "m", "--5"])
def test_not_a_quantity(text):
    assert read_quantity(text) is None


@pytest.mark.slow
def test_expressions_in_science_go_to_algebra():
    with Verifiers(VerifierSettings(workers=1)) as verify:
        problem = Problem("p", "science", "?", answer=r"\frac{1}{4p^2}")
        verdicts = verify([(problem, r"\boxed{0.25 p^{-2}}"), (problem, r"\boxed{p}"), (problem, "none")])
    assert [v.verdict for v in verdicts] == ["correct", "wrong", "unparsed"]


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("yes", "Yes.", "correct"),
        ("3 1 2", "[3, 1, 2]", "correct"),
        ("[3, 1, 2]", "3,1,2", "correct"),
        ('["b", "a"]', "b, a", "correct"),
        ("3 1 2", "1 2 3", "wrong"),
        ("12", "1 2", "wrong"),
        ("4", "4.0", "correct"),
        ("odd", r"\text{odd}", "correct"),
        ("odd", "even", "wrong"),
        ("odd", "", "wrong"),
    ],
)
def test_logic(gold, answer, expected):
    assert verify_logic(gold, f"\\boxed{{{answer}}}").verdict == expected


def test_logic_without_a_box():
    assert verify_logic("odd", "odd").verdict == "unparsed"
