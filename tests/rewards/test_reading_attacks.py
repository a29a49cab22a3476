"""Answers that look like the gold one and are not, and spellings that are: what a policy would find in hours."""

import pytest

from ringlite_cli.rewards.reading.verdict import judge, text_key

NOT_PAID = {
    "braces moved in a fraction": (r"\frac{1}{23}", r"\frac{12}{3}"),
    "a factor outside its fraction": (r"\frac{x}{yz}", r"\frac{xy}{z}"),
    "braces moved in a power": (r"x^{2n}", r"x^{2}n"),
    "digits of a power": (r"2^{10}", r"2^{1}0"),
    "braces moved in a root": (r"\sqrt{12}", r"\sqrt{1}2"),
    "braces moved in a binomial": (r"\binom{12}{3}", r"\binom{1}{23}"),
    "an exponent of e": (r"e^{ab}", r"e^{a}b"),
    "a base as a digit": ("102", "10_2"),
    "a derivative is no quotient": (r"\frac{dy}{dx}", r"\frac{y}{x}"),
    "names in capitals": ("PQR", "pqr"),
    "a half-line and an interval": ("x>3", "(3,4)"),
    "a half-line and two bounds": ("x>3", "x>3, x<5"),
    "a half-line downwards": (r"x\le 2", "(1,2]"),
    "a share of a percent": ("0.5", r"0.5\%"),
    "a share of a percent, small": ("0.05", r"0.05\%"),
    "a range behind a word": ("10", "about 10 to 12"),
    "a denial": ("10", r"10\text{ is wrong}"),
    "a remainder": ("10", r"10\text{ modulo }12"),
    "a function in words": ("10", r"10\text{ factorial}"),
    "two choices": ("A", "(A), (B)"),
    "two choices joined": ("(A)", "(A) and (B)"),
    "and is not or": (r"P \land Q", r"P \lor Q"),
    "a million": ("3", "3 million"),
    "a billion": ("3 million", "3 billion"),
}
PAID = {
    "a number of millions": ("2500000", "2.5 million"),
    "a gold of billions": ("1.2 billion", r"1.2\times 10^9"),
    "no solution in plain words": (r"\emptyset", "no solution"),
    "a half-line": ("x>3", r"(3,\infty)"),
    "one letter raised with braces": ("x^{n}", "x^n"),
    "a formula": ("H2O", r"\text{H}_2\text{O}"),
    "a choice with its text": ("B", r"\textbf{(B)}\ \frac{1}{2}"),
    "yes in capitals": ("Yes", "YES"),
    "percent of one and more": ("12.50", r"12.5\%"),
    "percent of less than one, both": (r"0.5\%", r"0.5\%"),
    "percent as a share": (r"50\%", "0.5"),
}


@pytest.mark.parametrize("name", NOT_PAID)
def test_another_answer_is_not_paid(name):
    gold, answer = NOT_PAID[name]
    assert judge([gold], answer)[0] != "correct"
    assert judge([answer], gold)[0] != "correct" or name in ("a share of a percent", "a share of a percent, small")


@pytest.mark.parametrize("name", PAID)
def test_another_spelling_is_paid(name):
    assert judge([PAID[name][0]], PAID[name][1])[0] == "correct"


def test_the_key_of_a_text_keeps_what_braces_mean():
    assert text_key(r"\frac{1}{23}") != text_key(r"\frac{12}{3}")
    assert text_key(r"x_{1}") == text_key("x_1")
    assert text_key(r"x^{1}2") != text_key("x^12")
