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
    ("What if $k > 0$ for $x^k$ here?", "What if $k < 0$ for $x^k$ here?", ("1", "0"), False, "duplicate_words"),
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
    (drop,) = drop_duplicates([row(LONG, "42"), row(LONG, "43")]).drops
    assert drop.detail == "the answers differ: 43 and 42"


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
