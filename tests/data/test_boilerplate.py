"""What a source's prompts share is found, at the start and the end, and problems of a template stay problems."""

import importlib.util
import random
from pathlib import Path

import pytest
from curation_helpers import row

from ringlite_cli.data.boilerplate import find_boilerplate
from ringlite_cli.data.decontaminate import decontaminate
from ringlite_cli.data.duplicates import drop_duplicates
from ringlite_cli.data.features import measure
from ringlite_cli.data.text import signature, tokens

TEXTS = [
    "Simplify $\\sqrt{175}$.",
    "Express $234_{10}$ in base $6$.",
    "Evaluate $\\lfloor\\sqrt{33}\\rfloor^2$.",
    "Ann has 14 ducks and sells 3 of them. How many has she now?",
    "What is the remainder of 3007 divided by 13?",
    "A bus of 12 metres passes a sign in 2 seconds. How fast is it?",
]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", " Think hard, then state the result inside \\boxed{} and nothing else."),
        ("", "\n\nGive the number alone in the end"),
        ("You are a careful solver of contest questions.\n\n", ""),
        ("Task 12 of 90: ", ""),
        ("", "请逐步思考，并把最后的结果写在方框里。"),
        ("User: ", "\nAssistant:"),
        ("Q: ", "\nA:"),
        ("Problem: ", "\n\n**Solution:**"),
        ("### Question 7\n", ""),
        ("**Problem 7**\n\n", ""),
        ("Exercise 7\n", ""),
        ("2.14 ", ""),
        ("7. (5 points) ", ""),
        ("7. [AMC 12, 2010] ", ""),
        ("(HMMT 2014) ", ""),
        ("**", "**"),
        ("题目：", "\n答案："),
        ("<question>\n", "\n</question>\nThink inside <think> tags, then state the result."),
        ("<question>", "</question>"),
        ("[INST] ", " [/INST]"),
        ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
        ("Exercise 3.12 ", ""),
        ("Example 7 ", ""),
        ("", " (3 points)"),
        ("", " [AMC 12, 2010]"),
    ],
)
def test_a_small_source_that_shares_a_text(before: str, after: str) -> None:
    plain = [row(text, str(n), id=f"plain{n}", source="plain") for n, text in enumerate(TEXTS)]
    dressed = [row(f"{before}{text}{after}", str(n), id=f"d{n}", source="dressed") for n, text in enumerate(TEXTS)]
    assert len(drop_duplicates(plain + dressed).kept) == len(TEXTS)
    held = [row(text, str(n), id=f"h{n}", source="held", split="eval") for n, text in enumerate(TEXTS)]
    assert len(decontaminate(dressed, held).drops) == len(TEXTS)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("(Take 2010 as the first year.) In which year is it 5 years later?", "In which year is it 5 years later?"),
        ("Evaluate 2**3 and 3**2 at once, and add them.", "Evaluate 23 and 32 at once, and add them."),
        ("Day 3 sees 14 guests. How many come on 2 such days?", "14 guests. How many come on 2 such days?"),
    ],
)
def test_what_looks_like_a_head_and_says_something(one: str, two: str) -> None:
    assert drop_duplicates([row(one, "2015"), row(two, "2015")]).drops == []


def test_the_numbers_of_a_template_are_no_boilerplate() -> None:
    rows = [
        row(f"A crate number {n} has {n + 3} rows of {n + 5} jars in it. How many jars are there?", "7", source="made")
        for n in range(20)
    ]
    (shared,) = find_boilerplate(rows).counts["made"]
    assert shared["text"] == "How many jars are there?"
    assert drop_duplicates(rows).drops == []


def test_tasks_that_stand_before_a_formula_stay_apart() -> None:
    rows = [row(f"Find the derivative of the power: $x^{n}$", "1", source="one") for n in range(2, 8)]
    rows += [row(f"Find the integral of the power: $x^{n}$", "1", source="two") for n in range(2, 8)]
    assert drop_duplicates(rows).drops == []
    held = [row(f"Find the limit of the power: $x^{n}$", "1", source="held", split="eval") for n in range(2, 8)]
    assert decontaminate(rows, held).drops == []


def test_boilerplate_is_found_from_a_tenth_of_a_large_source_on() -> None:
    rng = random.Random(1)
    texts = [" ".join("".join(rng.choices("bcdfgaeiou", k=5)) for _ in range(12)) for _ in range(400)]
    rows = [
        row(f"{t}. {'Answer with one number only.' if n % 5 == 0 else ''}", source="s") for n, t in enumerate(texts)
    ]
    assert [t["text"] for t in find_boilerplate(rows).counts["s"]] == ["Answer with one number only."]
    assert measure(rows).boilerplate.core(rows[5].problem.prompt, "s")[0].strip() == f"{texts[5]}."


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("$\\dfrac12 x^{2} \\cdot \\left(3\\right)$", "\\(\\frac{1}{2}x^2\\times(3)\\)"),
        ("It costs $1,200$ or 10{,}000.", "It costs 1200 or 10000."),
        ("x² − 3 ≤ √5", "$x^{2}-3 \\leqslant \\sqrt{5}$"),
        ("\\frac{1+2 \\mathrm{i}}{3-\\mathrm{i}}", "\\frac{1+2i}{3-i}"),
        ("Two hens at 90° and .5 m.", "2 hens at $90^\\circ$ and 0.5 m"),
    ],
)
def test_one_notation(one: str, two: str) -> None:
    assert tokens(one) == tokens(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [("x^{2}y", "x^{2y}"), ("\\sqrt{2x}", "\\sqrt{2}x"), ("(-6)+(-2)", "6-(-2)"), ("\\frac{a}{b}c", "\\frac{a}{bc}")],
)
def test_what_changes_a_value_stays(one: str, two: str) -> None:
    assert tokens(one) != tokens(two)
    assert signature(tokens("A cook has 3 pans")) == signature(tokens("The cook has 3 pans"))


@pytest.mark.slow
def test_a_sample_of_the_benchmark_of_copies(real_data: Path) -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "copies.py"
    spec = importlib.util.spec_from_file_location("copies", path)
    assert spec
    assert spec.loader
    copies = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copies)
    problems, others = copies.usable(real_data)
    for change in copies.COPIES.values():
        assert min(copies.found_copies(problems[:60], others[:200], change, mixed=True)) >= 58
    assert max(copies.mistaken(problems[:60], 60)) <= 1
