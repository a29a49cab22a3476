"""Held-out problems are taken out of the others; boilerplate and procedural neighbours stay."""

import json
from pathlib import Path

import pytest
from curation_helpers import row

from ringlite_cli.data.decontaminate import decontaminate, near_pairs
from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.data.sources import load_sources
from ringlite_cli.data.text import grams, tokens
from ringlite_cli.recipe.schema import Source

TAIL = "can be written as m over n, where m and n are relatively prime positive integers. Find m plus n."


def _held(*prompts: str, procedural: bool = False) -> list[CuratedRow]:
    return [row(p, procedural=procedural, split="eval") for p in prompts]


def test_verbatim_near_and_contained_copies_with_their_scores() -> None:
    text = "A snail climbs 3 meters up a slippery wall each day and slides back 2 meters every night until it rests."
    rows = [
        row(text.upper()),
        row(text.replace("slippery", "steep")),
        row(f"Read this carefully before you answer, and take your time with it. {text} Now tell us the day it ends."),
        row("A frog sits in a well of 30 meters and wonders how many days a way out of it takes."),
    ]
    sifted = decontaminate(rows, _held(text))
    assert [d.problem.id for d in sifted.drops] == [r.problem.id for r in rows[:3]]
    assert sifted.drops[0].score == 1.0
    assert 0.3 < (sifted.drops[1].score or 0) < 1
    assert all(d.reason == "contamination" and d.other for d in sifted.drops)
    assert len(sifted.kept) == 1


def test_boilerplate_that_many_share_does_not_count() -> None:
    things = [f"probability that {a} and {b} meet" for a in "ABCDEFGHIJ" for b in "KLMNOPQRST"]
    rows = [row(f"The {thing} {TAIL}") for thing in things]
    sifted = decontaminate(rows, _held(f"The length of the long side of this odd kite {TAIL}"))
    assert sifted.drops == []
    assert _score(rows) < 0.05
    assert _score(rows[:3]) > 0.3, "the same tail is no boilerplate where only a few share it"


def _score(rows: list[CuratedRow]) -> float:
    """The similarity of the first row to a held-out problem with the same tail."""
    held = [tokens(f"The length of the long side of this odd kite {TAIL}")]
    pairs = near_pairs(grams([tokens(r.problem.prompt) for r in rows], 8), grams(held, 8), jaccard=0.0)
    return pairs[0][2] if pairs else 0.0


def test_a_looser_copy_needs_the_same_answer_and_numbers() -> None:
    text = (
        "A snail climbs 3 meters up a slippery wall each day and slides back 2 meters every night until it comes to "
        "rest on the edge of the roof. On which day does the snail reach the edge, if the wall is 30 meters high?"
    )
    loose = text.replace("slippery", "wet").replace("slides", "slips")
    other = loose.replace("30", "40")
    held = _held(text)
    for prompt, answer, found in ((loose, "4", True), (loose, "5", False), (other, "4", False)):
        (score,) = [s for *_, s in near_pairs(grams([tokens(prompt)], 8), grams([tokens(text)], 8), jaccard=0.4)] or [0]
        assert 0.4 <= score < 0.5
        assert bool(decontaminate([row(prompt, answer)], held).drops) == found


@pytest.mark.parametrize(
    ("held", "other"),
    [
        ("Find the sum of the roots of $x^2-5x+6=0$.", "Find the product of the roots of $x^2-5x+6=0$."),
        ("How many of 1 to 100 are divisible by 3 or 5?", "How many of 1 to 100 are divisible by 3 and 5?"),
        ("Let $f(x)=x^3$. Find $f'(2)$ for this function.", "Let $f(x)=x^3$. Find $f''(2)$ for this function."),
        ("In how many ways can 5 people sit in a row?", "In how many ways can 5 people sit in a circle?"),
    ],
)
def test_another_quantity_with_another_answer_is_another_problem(held: str, other: str) -> None:
    assert not decontaminate([row(other, "6")], [row(held, "5", split="eval")]).drops
    assert decontaminate([row(held, "6")], [row(held, "5", split="eval")]).drops


def test_procedural_neighbours_are_other_problems() -> None:
    held = _held("Work out the value of this whole expression and box it: 12+34-5", procedural=True)
    same = "Please: work out the value of this whole expression and box it: 12+34-5"
    other = "Work out the value of this whole expression and box it: 12+34-6"
    sifted = decontaminate([row(same, procedural=True), row(other, procedural=True)], held)
    assert [d.problem.id for d in sifted.drops] == [same]
    assert [r.problem.id for r in sifted.kept] == [other]


def test_nothing_held_out() -> None:
    rows = [row("Find the value of 2+2.")]
    assert decontaminate(rows, []).kept == rows
    assert decontaminate([], rows).kept == []
    assert near_pairs(grams([], 8), grams([], 8)) == []


@pytest.fixture(scope="module")
def real_rows(real_data: Path) -> tuple[list[CuratedRow], list[CuratedRow]]:
    train = {
        "math.json": "math",
        "aime_1983_2023.json": "aime",
        "gsm8k_train.jsonl": "gsm8k",
        "leetcode.json": "leetcode",
    }
    held = {"math500.json": "math", "aime24.json": "aime", "gsm8k.json": "gsm8k", "leetcode.json": "leetcode"}
    sources = [Source(path=str(real_data / "train" / f), adapter=a) for f, a in train.items()]
    sources += [Source(path=str(real_data / "eval" / f), adapter=a, split="eval") for f, a in held.items()]
    rows = [r for s in load_sources(sources, seed=1, generators={}) for r in s.rows]
    return [r for r in rows if r.split == "train"], [r for r in rows if r.split == "eval"]


@pytest.mark.slow
def test_real_copies_are_found_and_boilerplate_is_not(real_rows: tuple[list[CuratedRow], list[CuratedRow]]) -> None:
    """Plain Jaccard of 8-grams of words, in a dictionary, finds 27 rows; a shared 8-gram alone would flag 1,149.

    Thirteen of the 27 are other problems of a template: another number and another answer, or another question.
    """
    train, held = real_rows
    wanted = _plain_near_copies(train, [h for h in held if h.problem.source in ("math500.json", "aime24.json")])
    assert len(wanted) == 27
    drops = decontaminate(train, held).drops
    found = {d.problem.id for d in drops}
    others = {f"math.json:{n}" for n in (1253, 1275, 1321, 1373, 3304, 5535, 6881, 6950, 6975, 7116, 7264, 7278, 7337)}
    assert others < wanted
    assert wanted & found == wanted - others
    assert len(found - wanted) <= 10, json.dumps([d.as_row() for d in drops if d.problem.id not in wanted], indent=1)
    verbatim = [d for d in drops if d.score == 1.0 and d.problem.source == "aime_1983_2023.json"]
    assert len(verbatim) >= 6


def _plain_near_copies(train: list[CuratedRow], held: list[CuratedRow]) -> set[str]:
    import re

    def windows(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[i : i + 8]) for i in range(max(1, len(words) - 7))}

    held_windows = [windows(h.problem.prompt) for h in held]
    holders: dict[tuple[str, ...], list[int]] = {}
    for j, those in enumerate(held_windows):
        for window in those:
            holders.setdefault(window, []).append(j)
    near = set()
    for one in train:
        if one.problem.source not in ("math.json", "aime_1983_2023.json"):
            continue
        mine = windows(one.problem.prompt)
        for j in {j for w in mine for j in holders.get(w, ())}:
            if len(mine & held_windows[j]) >= 0.5 * len(mine | held_windows[j]):
                near.add(one.problem.id)
    return near


def test_grams_are_the_same_in_every_process() -> None:
    assert grams([tokens("Find the value of 12 + 34 - 5.")], 3).hashes[0] == 2858710766954999931
