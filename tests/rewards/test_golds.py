"""Golds that no natural response could meet."""

import json

import pytest

from ringlite_cli.problems import Problem
from ringlite_cli.rewards.golds import gold_fault


def fault(answer, domain="math", **more):
    return gold_fault(Problem("p", domain, "?", answer=answer, **more))


@pytest.mark.parametrize(
    "answer",
    [
        "7",
        "99 (screws)",
        "[4, 2]",
        r"\frac{\pi}{3}",
        r"x=2, y=3",
        "A",
        "(b)",
        r"\text{Monday}",
        r"(-\infty,2]",
        "12 cm",
    ],
)
def test_a_gold_that_is_read_has_no_fault(answer):
    assert fault(answer) is None


@pytest.mark.parametrize(
    "answer",
    [
        "The car stops 4 seconds after braking, at 30 metres.",
        "diverges slowly",
        "The factor may vanish.",
        "Yes. Both of them are parallel.",
        r"\int_0^1 f(x)\,dx",
    ],
)
def test_a_sentence_and_an_unread_formula_are_faults(answer):
    assert fault(answer)


def test_one_accepted_form_that_is_read_is_enough():
    assert fault(json.dumps(["as much as before", "12"])) is None


def test_other_verifiers_have_golds_of_their_own():
    assert fault("red, green and blue things", "logic") is None
    assert fault("say hello", "math", verifier="judge") is None
