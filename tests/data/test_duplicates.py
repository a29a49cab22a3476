"""Copies are found, different problems that look alike are not."""

import random

import pytest
from curation_helpers import row

from ringlite_cli.data import duplicates
from ringlite_cli.data.duplicates import drop_duplicates

LONG = "A farmer has 12 cows and 30 sheep on a green hill. How many animals does the farmer have on the hill?"

PAIRS = [  # (first, second, answers, procedural, reason of the second)
    ("Compute 12+34-5.", "Compute  12+34-5. \n", ("41", "41"), True, "duplicate_exact"),
    ("Compute 12+34-5.", "cOMPUTE 12 + 34 - 5", ("41", "41"), True, "duplicate_exact"),
    ("Compute 12+34-5.", "Please: Compute 12+34-5.", ("41", "41"), True, "duplicate_near"),
    ("Compute 12+34-5.", "Compute 12+34-6.", ("41", "40"), True, None),
    ("Compute 12-4+4.", "Compute 12+4-4.", ("12", "12"), True, None),
    ("Compute 2*(3+4).", "Compute (2*3)+4.", ("14", "14"), True, None),
    (
        "How many odd numbers are in: 3 5 4 2 7 6 8 1?",
        "How many even numbers are in: 3 5 4 2 7 6 8 1?",
        "44",
        True,
        None,
    ),
    ("How many b are in: a b b a c a b?", "How many b are in: a b b a c b a?", "33", True, None),
    ("How many b are in: a b b a?", "How many b are in: a b b?", "22", True, None),
    (LONG, LONG.replace("green ", ""), ("42", "42"), False, "duplicate_near"),
    (LONG, LONG.replace("30", "31"), ("42", "43"), False, None),
    (LONG, LONG.replace("green", "red"), ("42", "41"), False, "duplicate_none"),
    ("Find $\\dfrac{3}{4}+x$.", "Find \\[\\frac 3 4 + x\\]", ("1", "1"), False, "duplicate_exact"),
    ("What if $k > 0$ for $x^k$ here?", "What if $k < 0$ for $x^k$ here?", ("1", "0"), False, None),
    ("Compute $\\sin 60$.", "Compute $\\cos 60$.", ("1", "0"), False, None),
]


@pytest.mark.parametrize(("first", "second", "answers", "procedural", "reason"), PAIRS)
def test_pairs(first: str, second: str, answers: tuple[str, str], procedural: bool, reason: str | None) -> None:
    rows = [row(first, answers[0], procedural=procedural), row(second, answers[1], procedural=procedural)]
    sifted = drop_duplicates(rows)
    if reason in (None, "duplicate_none"):
        assert sifted.drops == []
    else:
        (drop,) = sifted.drops
        assert drop.reason == reason
        assert drop.problem is rows[1].problem
        assert drop.other is rows[0].problem
        assert drop.score is not None
        assert 0.7 <= drop.score <= 1
    assert len(sifted.kept) + len(sifted.drops) == 2


def test_keeps_the_best_labelled_copy() -> None:
    plain, traced, proven = (row(LONG, "42", id=name) for name in ("plain", "traced", "proven"))
    traced = row(LONG, "42", id="traced", trace="\\boxed{42}")
    proven = row(LONG, "42", id="proven", trace="\\boxed{42}")
    proven.verified = "trace"
    sifted = drop_duplicates([plain, traced, proven])
    assert [r.problem.id for r in sifted.kept] == ["proven"]
    assert [(d.problem.id, d.other.id) for d in sifted.drops if d.other] == [("plain", "proven"), ("traced", "proven")]


def test_copies_with_other_answers_say_so() -> None:
    one, two = drop_duplicates([row(LONG, "42"), row(LONG, "43")]).drops
    assert one.reason == two.reason == "conflicting_answers"
    assert [one.detail, two.detail] == ["the answers differ: 42 and 43", "the answers differ: 43 and 42"]


@pytest.mark.slow
def test_large_blocks_go_through_minhash_and_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    texts = [" ".join("".join(rng.choices("bcdfgaeiou", k=4)) for _ in range(15)) for _ in range(400)]
    copies = [f"{text} today" for text in texts[::20]]
    rows = [row(text, "the same") for text in texts + copies]
    by_minhash = [d.as_row() for d in drop_duplicates(rows).drops]
    assert [d["id"] for d in by_minhash] == copies
    assert [d["other_id"] for d in by_minhash] == texts[::20]
    monkeypatch.setattr(duplicates, "_LOOK_BACK", 10_000)
    assert [d.as_row() for d in drop_duplicates(rows).drops] == by_minhash


@pytest.mark.parametrize(
    ("first", "second", "answers", "kept"),
    [
        ("Differentiate the power: $x^{80}$", "Differentiate the power: $x^{-80}$", ("80x^{79}", "-80x^{-81}"), 2),
        ("Work out: $(-7)+(-3)$", "Work out: $7-(-3)$", ("-10", "10"), 2),
        ("Find a cubic with the roots 1, 2 and 5 now.", "Find a cubic with the roots $-1$, 2 and 5 now.", "ab", 2),
        ("Find $x^{2}y$ at $x = 3$, $y = 1$.", "Find $x^{2y}$ at $x = 3$, $y = 1$.", ("9", "9"), 2),
        ("A cook has 12 eggs and buys 6 more eggs. How many eggs has he now?",) * 2 + (("18", "18"), 1),
        (
            "A cook has 12 eggs and buys 6 more eggs in town. How many eggs has he now?",
            "The cook has 12 eggs and buys 6 more eggs in town. How many eggs has he now?",
            ("18", "18"),
            1,
        ),
        ("Sell $2,400$ caps and 50 hats in May.", "Sell 2400 caps and 50 hats in May.", ("7", "7"), 1),
        ("12) Ann walks 3 miles a day for 4 days.", "Ann walks 3 miles a day for 4 days.", ("12", "12"), 1),
        (
            "Find the area of the square of side 4 cm.",
            "Find the perimeter of the square of side 4 cm.",
            ("16", "16"),
            2,
        ),
        (
            "How many odd numbers are there among the first 10 natural numbers?",
            "How many even numbers are there among the first 10 natural numbers?",
            ("5", "5"),
            2,
        ),
        ("Compute the sine of 2 and $\\sqrt{2x}$.", "Compute the sine of 2 and $\\sqrt{2}x$.", ("1", "1"), 2),
        (
            "Evaluate $\\lfloor 7.5 \\rfloor$ now.",
            "Evaluate $\\lfloor 7.5 \\rfloor$ now. Box the result.",
            ("7", "7"),
            1,
        ),
        ("甲有12个苹果,又买了5个,一共有多少个?", "甲有12个苹果,又买了5个,一共有多少个", ("17", "17"), 1),
        ("求x与y的最大值,其中x+y=1。", "求x与y的最小值,其中x+y=1。", ("1", "1"), 2),
        ("Let $f(x)=x^3$. Find $f'(2)$.", "Let $f(x)=x^3$. Find $f''(2)$.", ("12", "12"), 2),
        ("Let $f(x)=x^3$. Find $f'(2)$.", "Let $f(x)=x^3$. Find $f^{\\prime}(2)$.", ("12", "12"), 1),
        ("Let $f(x)=x^3$. Find $f''(2)$.", "Let $f(x)=x^3$. Find $f^{\\prime\\prime}(2)$.", ("12", "12"), 1),
        ("Find 'A' in ABC of side 4.", "Find A in ABC of side 4.", ("4", "4"), 1),
        ("What's $\\frac{1}{2}+\\frac{1}{3}$?", "What is $\\tfrac12 + \\tfrac13$?", ("\\frac56", "5/6"), 1),
        ("What is a half of $3x$?", "What is a half of 3x?", ("\\frac{3x}{2}", "\\dfrac{3x}2"), 1),
        ("Evaluate this sum at 4.", "Evaluate this sum at  4.", ("\\frac{1}{23}", "\\frac{12}{3}"), 0),
        ("Compute $5\\times 4\\div 2$.", "Compute $5 \\cdot 4 / 2$.", ("10", "10"), 1),
        ("已知函数f(x)=x^2+1，求f(3)的值。", "已知函数 $f(x)=x^2+1$, 求 $f(3)$ 的值.", ("10", "10"), 1),
    ],
)
def test_numbers_signs_exponents_and_named_quantities_decide(
    first: str, second: str, answers: tuple[str, str], kept: int
) -> None:
    assert len(drop_duplicates([row(first, answers[0], id="1"), row(second, answers[1], id="2")]).kept) == kept


def test_of_conflicting_answers_the_one_with_evidence_stays() -> None:
    proven = row(LONG, "42", id="proven", trace="\\boxed{42}")
    proven.verified = "trace"
    sifted = drop_duplicates([row(LONG, "43", id="bare"), proven])
    assert [r.problem.id for r in sifted.kept] == ["proven"]
    assert [(d.problem.id, d.reason) for d in sifted.drops] == [("bare", "conflicting_answers")]


def test_conflicting_answers_stay_as_doubtful_where_the_recipe_says_so() -> None:
    sifted = drop_duplicates([row(LONG, "42", id="1"), row(LONG, "43", id="2")], keep_conflicts=True)
    assert [r.problem.id for r in sifted.kept] == ["1"]
    (doubt,) = sifted.doubtful
    assert (doubt.problem.id, doubt.other and doubt.other.id) == ("1", "2")
    assert doubt.detail == "the answers differ: 42 and 43"


def test_equal_answers_in_other_forms_are_no_conflict() -> None:
    rows = [row(LONG, "0.5", id="1"), row(LONG, "1/2", id="2")]
    sifted = drop_duplicates(rows, agree=lambda pairs: [True for _ in pairs])
    assert [d.reason for d in sifted.drops] == ["duplicate_exact"]


def test_rows_without_an_answer_to_compare_are_copies() -> None:
    rows = [row(LONG, "a rubric", id="1", verifier="judge"), row(LONG, "another", id="2", verifier="judge")]
    assert [d.reason for d in drop_duplicates(rows).drops] == ["duplicate_exact"]


def test_boards_that_differ_in_their_cells_alone_are_other_problems() -> None:
    board = ["_ _ Q _ _ _ _ _", "_ _ _ _ _ Q _ _", "_ Q _ _ _ _ _ _", "Q _ _ _ _ _ _ _"]
    told = "Place the other queens on this board so that no two of them attack each other, and show it.\n"
    rows = [
        row(told + "\n".join(board), "1"),
        row(told + "\n".join(reversed(board)), "2"),
        row(told + "\n".join(board), "1"),
    ]
    dropped = drop_duplicates(rows).drops
    assert [drop.reason for drop in dropped] == ["duplicate_exact"]
