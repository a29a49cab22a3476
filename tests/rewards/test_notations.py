"""Right answers in another notation, each beside a wrong one that looks like it."""

import pytest

from ringlite_cli.rewards.logic import verify_logic
from ringlite_cli.rewards.reading.verdict import compare, fault_of_gold
from ringlite_cli.rewards.units import read_quantity

SAME = {
    "a constant of integration": (r"\frac{x^4}{4}+C", r"\frac14 x^4+c"),
    "integrals that differ by a number": (r"\sin^2 t + C", r"-\cos^2 t + K"),
    "a residue by another number": (r"x\equiv 2\pmod 9", r"x\equiv 11\pmod{9}"),
    "residues with signs": (r"n\equiv 2,5\pmod 7", r"n\equiv \pm 2\pmod 7"),
    "a residue class as a family": (r"x\equiv 4\pmod 9", r"x=9k+4, k\in\mathbb{Z}"),
    "equations behind a brace": (r"\left\{\begin{array}{l}x=3\\y=8\end{array}\right.", "x=3, y=8"),
    "a system as a point": (r"\begin{cases}x=3,\\y=8.\end{cases}", "(3,8)"),
    "cases with another punctuation": (
        r"\begin{cases}7&\text{if }n\text{ is even}\\5&\text{if }n\text{ is odd}\end{cases}",
        r"\begin{cases}7,&\text{if }n\text{ is even}\\5,&\text{if }n\text{ is odd}\end{cases}",
    ),
    "a matrix as lists": (r"\begin{pmatrix}5&6\\7&8\end{pmatrix}", "[[5,6],[7,8]]"),
    "a number before a matrix": (
        r"\frac12\begin{pmatrix}2&4\\6&1\end{pmatrix}",
        r"\begin{bmatrix}1&2\\3&0.5\end{bmatrix}",
    ),
    "a modulus as an interval": (r"|2x-1|\le 7", "[-3,4]"),
    "a modulus as two rays": (r"|t|>5", r"(-\infty,-5)\cup(5,\infty)"),
    "an element of a set": (r"x=6\text{ or }x=-2", r"x\in\{-2,6\}"),
    "points between thousands": ("7654321", "7.654.321"),
    "apostrophes between thousands": ("7654321", "7'654'321"),
    "a base in words": ("432_7", r"432_{\text{seven}}"),
    "a period and dots": (r"\frac{4}{9}", "0.444..."),
    "minutes of arc": (r"12.5^\circ", r"12^\circ 30'"),
    "colour": ("58", r"\textcolor{red}{58}"),
    "stars": ("58", "*58*"),
    "a sign of equality in front": ("58", "= 58"),
    "x for times": ("4.2E7", "4.2x10^7"),
    "square units": ("18 square inches", r"18\text{ in}^2"),
    "a ratio in words": ("4:7", "4 to 7"),
    "a ratio to one": ("6:1", "6"),
    "a limit that is none": ("does not exist", "DNE"),
    "no solution in a sentence": (r"\emptyset", r"\text{There is no solution}"),
    "an article": ("the circle", "circle"),
    "parameters that are declared": (r"f(x)=ax+b, a,b\in\mathbb{R}", r"f(x)=ax+b \text{ for any real } a, b"),
    "several choices": ("ABD", "A, B, D"),
    "an ion": ("NH4+", r"\text{NH}_4^+"),
    "an ion of two charges": (r"CO3^{2-}", r"\ce{CO3^2-}"),
    "electrons": ("1s^2 2s^2 2p^4", "1s²2s²2p⁴"),
    "a point with its name": ("P(3,-4)", "(3,-4)"),
    "a point whose name is no function": ("(3,-4)", "M(3,-4)"),
    "a date": ("July 4, 1776", "4 July 1776"),
    "a date of digits": ("2024-02-29", r"\text{February 29, 2024}"),
    "a time of 24 hours": ("3:15 PM", "15:15"),
    "noon": (r"\text{noon}", "12:00 p.m."),
    "unit vectors of physics": (r"5\hat{x}-2\hat{y}", "(5,-2)"),
}
DIFFERENT = {
    "no constant of integration": (r"x^4+C", "x^4"),
    "another integral": (r"x^4+C", "x^4+x+C"),
    "constants that are none": ("A+C", "B+C"),
    "another modulus": (r"x\equiv 2\pmod 9", r"x\equiv 2\pmod{18}"),
    "a residue for its class": (r"x\equiv 2\pmod 9", "2"),
    "one of two residues": (r"n\equiv 2,5\pmod 7", r"n\equiv 2\pmod 7"),
    "a system turned round": (r"\begin{cases}x=3\\y=8\end{cases}", "(8,3)"),
    "half a system": (r"\begin{cases}x=3\\y=8\end{cases}", "x=3"),
    "values with conditions for equations": (r"\begin{cases}x^2&x>0\\0&x\le0\end{cases}", "x^2, 0"),
    "a transposed matrix": (r"\begin{pmatrix}5&6\\7&8\end{pmatrix}", "[[5,7],[6,8]]"),
    "entries of a matrix": (r"\begin{pmatrix}5&6\\7&8\end{pmatrix}", "[5,6,7,8]"),
    "a matrix without its number": (r"\frac12\begin{pmatrix}2\\4\end{pmatrix}", r"\begin{pmatrix}2\\4\end{pmatrix}"),
    "open for closed bars": (r"|2x-1|\le 7", "(-3,4)"),
    "two symbols for one": ("x=6, y=-2", r"x\in\{-2,6\}"),
    "a decimal for thousands": ("7654321", "7.654321"),
    "a derivative for thousands": ("f'(100)", "f(100)"),
    "dots of no period": (r"\sqrt2", "1.414..."),
    "other minutes of arc": (r"12.3^\circ", r"12^\circ 30'"),
    "a ratio turned round": ("4:7", "7 to 4"),
    "a ratio below one": ("6:1", "1/6"),
    "a length for an area": ("18 square inches", "18 inches"),
    "choices left out": ("ABD", "A, B"),
    "letters out of order": ("CAB", "A, B, C"),
    "two letters that may be a blood type": ("AB", "A, B"),
    "a blood type for two choices": ("A, B", "AB"),
    "a product for a condition": ("P(A|B_1)", "P(AB_1)"),
    "another charge": (r"Fe^{3+}", r"\ce{Fe^2+}"),
    "a charge for a number of atoms": ("O^{2-}", "O_2^-"),
    "other electrons": ("1s^2 2s^2 2p^4", "1s²2s²2p⁵"),
    "another point with a name": ("P(3,-4)", "(-4,3)"),
    "the name of another point": ("P(3,-4)", "Q(3,-4)"),
    "pounds for dollars": ("3 pounds", r"\$3"),
    "another day": ("July 4, 1776", "July 14, 1776"),
    "a day without its year": ("July 4, 1776", "July 4"),
    "the other half of the day": ("3:15 PM", "3:15 AM"),
    "a time without its half": ("3:15 PM", "3:15"),
    "a condition": ("x>5", "x only if 5"),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_answer(name: str) -> None:
    gold, answer = SAME[name]
    assert compare(gold, answer)[0]
    assert compare(gold, gold)[0]


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_answer(name: str) -> None:
    gold, answer = DIFFERENT[name]
    assert not compare(gold, answer)[0]
    assert compare(gold, gold)[0]


@pytest.mark.parametrize("gold", [r"x\equiv 2\pmod 9", "2024-02-29", r"\begin{cases}x=3\\y=8\end{cases}"])
def test_golds_that_have_other_spellings_are_read(gold: str) -> None:
    assert fault_of_gold(gold) == ""


@pytest.mark.parametrize(
    ("text", "value"), [("1 hour 45 minutes", 1.75), ("2 h, 30 min", 2.5), ("3 m 5 cm", 3.05), ("4 ft and 6 in", 4.5)]
)
def test_a_quantity_in_parts(text: str, value: float) -> None:
    found = read_quantity(text)
    assert found is not None
    assert found.unit is not None
    assert found.value == pytest.approx(value)


@pytest.mark.parametrize("text", ["3 m 5 s", "30 min 2 h", "1 h 90 min"])
def test_parts_that_are_no_quantity(text: str) -> None:
    assert read_quantity(text) is None


def test_a_unit_may_start_large() -> None:
    assert read_quantity("10 Tesla") == read_quantity("10 tesla")


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("a ∧ b", r"a \land b", True),
        ("a ∧ b", r"a \lor b", False),
        ("¬(a∨b)", r"\neg(a\vee b)", True),
        ("a ↔ b", r"a \iff b", True),
        ("a ↔ b", r"a \to b", False),
        ("∀x Q(x)", r"\forall x Q(x)", True),
        ("∀x Q(x)", r"\exists x Q(x)", False),
    ],
)
def test_signs_of_logic(gold: str, answer: str, right: bool) -> None:
    assert (verify_logic(gold, rf"\boxed{{{answer}}}").verdict == "correct") == right
