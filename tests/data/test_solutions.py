"""A worked solution confirms or contradicts the gold by what it arrives at, in any usual form."""

import json
from pathlib import Path
from typing import Any

import pytest
from curation_helpers import row

from ringlite_cli.data.cleansing import cleanse
from ringlite_cli.data.curate import Steps, curate
from ringlite_cli.data.rows import Sifted
from ringlite_cli.data.solutions import last_result, without_unit
from ringlite_cli.data.verification import verify_rows
from ringlite_cli.problems import read_problems
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.rewards import Verifiers
from ringlite_cli.runs.files import read_jsonl


@pytest.mark.parametrize(
    ("solution", "text", "explicit"),
    [
        ("So it is \\boxed{12}.", "12", True),
        ("Add them up.\n#### 1,200", "1,200", True),
        ("It is 12. The answer is $\\frac{1}{2}$.", "\\frac{1}{2}", True),
        ("Thus the final answer is: **7 apples**", "7 apples", True),
        ("<think>\nhm\n</think>\n\n**79**", "79", True),
        ("先算乘法。因此答案是12。", "12", True),
        ("Add them.\nFinal: 12", "12", True),
        ("Add them.\nAns. 12", "12", True),
        ("**Final Answer**\n\\[12\\]", "12", True),
        ("Final Answer: The final answer is $12$. I hope it is correct.", "12", True),
        ("Our answer is thus 12.", "12", True),
        ("Add them. <answer>12</answer>", "12", True),
        ("故答案为：12", "12", True),
        ("把它们加起来。\n答：一共12个。", "12", False),
        ("于是得到 12", "12", False),
        ("There are a dozen.\n\n12", "12", False),
        ("So there is a dozen. $$12$$", "12", False),
        ("It follows that there are $\\mathbf{12}$ of them. ∎", "12", False),
        ("Therefore, 12.", "12", False),
        ("so that n = 12, as claimed.", "12", False),
        ("which gives us $\\frac{1}{2}$", "\\frac{1}{2}", False),
        ("12 times 8 is 96, and 3 more make 99.", "99", False),
        ("So x = 5", "5", False),
        ("We get 9/12, which simplifies to 3/4.", "3/4", False),
        ("The height is $\\sqrt{16-4}=2\\sqrt3$.", "2\\sqrt3", False),
        ("So the area is $9\\pi$.", "9\\pi", False),
        ("Thus the minimum value is −4.", "-4", False),
        ("x = 2 and y = 3, so the point is (2, 3).", "(2, 3)", False),
        ("It comes to 12.", "12", False),
        ("So we have 5 hours 30 minutes.", None, False),
        ("We add them up as the problem says.", None, False),
    ],
)
def test_what_a_solution_arrives_at(solution: str, text: str | None, explicit: bool) -> None:
    found = last_result(solution)
    assert (found and found.text) == text
    assert found is None or found.explicit == explicit


def _verified(answer: str, trace: str, **more: Any) -> Sifted:
    with Verifiers() as verify:
        return verify_rows(
            cleanse([row("How many pens are in 12 boxes of 8?", answer, trace=trace)]).kept, verify, **more
        )


@pytest.mark.parametrize(
    "trace",
    ["12 times 8 is 96.", "So there are 96 pens.\n#### 96", "Hence the answer is **96 pens**.", "It is 12 * 8 = 96."],
)
def test_a_solution_that_arrives_at_the_gold_keeps_its_text_and_gets_the_box(trace: str) -> None:
    (kept,) = _verified("96", trace).kept
    assert kept.verified == "solution"
    assert kept.problem.trace == f"{trace}\n\n$\\boxed{{96}}$"


@pytest.mark.parametrize("trace", ["12 times 8 is 96.", "The answer is 96.", "#### 96", "So it is **96**."])
def test_a_solution_that_arrives_elsewhere_contradicts_the_gold(trace: str) -> None:
    (drop,) = _verified("98", trace).drops
    assert drop.reason == "answer_disagrees"
    assert drop.detail == "the solution ends in 96, the answer is 98"


def test_a_solution_that_breaks_off_contradicts_nothing() -> None:
    (kept,) = _verified("98", "12 times 8 is 96, and 1 more makes 97").kept
    assert kept.problem.trace is None


def test_a_contradicted_row_stays_as_doubtful_where_the_recipe_says_so() -> None:
    sifted = _verified("98", "The answer is 96.", keep_doubtful=True)
    assert [d.reason for d in sifted.doubtful] == ["answer_disagrees"]
    (kept,) = sifted.kept
    assert kept.problem.trace is None
    assert kept.problem.labels["doubtful"] == "answer_disagrees"


def test_a_gold_that_the_solution_mentions_elsewhere_is_left_undecided() -> None:
    sifted = _verified("98", "There are 98 pens with mine, and the 12 boxes of 8 make 96.")
    assert [r.problem.trace for r in sifted.kept] == [None]
    assert [reason for _, reason in sifted.traces_stripped] == ["trace_no_final_answer"]
    assert sifted.drops == []


def test_an_answer_that_no_response_reaches_is_dropped_or_doubtful() -> None:
    made = row("How many pens are in 12 boxes of 8?", "96")
    with Verifiers() as verify:
        dropped = verify_rows([made], verify, doubts=lambda problem: "read in part")
        kept = verify_rows([made], verify, doubts=lambda problem: "read in part", keep_doubtful=True)
    assert [(d.reason, d.detail) for d in dropped.drops] == [("answer_unreachable", "read in part")]
    assert [r.problem.labels["doubtful"] for r in kept.kept] == ["answer_unreachable"]


def test_a_unit_in_brackets_comes_off() -> None:
    golds = ("99 (screws)", "(2, 3)", "5 (mod 7)", "f(x)")
    assert [without_unit(a) for a in golds] == ["99", "(2, 3)", "5 (mod 7)", "f(x)"]


def _curated(tmp_path: Path, rows: list[dict[str, Any]], columns: dict[str, str], **steps: Any) -> dict[str, Any]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    source = Source(path=str(path), columns=columns, domain="math")
    with Verifiers() as verify:
        result = curate(
            [source], {"train": ProblemSet()}, verify, tmp_path, seed=1, generators={}, steps=Steps(**steps)
        )
    return result.funnel


def test_an_answer_stands_in_the_box_of_the_trace(tmp_path: Path) -> None:
    rows = [{"q": f"How many pens are in {n} boxes of 8?", "r": f"So \\boxed{{{8 * n}}}."} for n in range(3, 7)]
    _curated(tmp_path, rows, {"prompt": "q", "trace": "r"})
    kept = list(read_problems(tmp_path / "train.parquet"))
    assert sorted(p.answer or "" for p in kept) == ["24", "32", "40", "48"]
    assert {p.labels["verified_by"] for p in kept} == {"answer"}


def test_shared_text_is_reported_and_comes_off_where_the_suffix_says_it(tmp_path: Path) -> None:
    tail = "Let's think step by step and put the final answer within \\boxed{}."
    rows = [{"q": f"How many pens are in {n} boxes of {n + 5}? {tail}", "a": n * (n + 5)} for n in range(3, 9)]
    suffix = {"math": "Please reason step by step, and put your final answer within \\boxed{}."}
    funnel = _curated(tmp_path, rows, {"prompt": "q", "answer": "a"}, prompt_suffix=suffix)
    assert funnel["boilerplate"] == {
        "rows.jsonl": {"texts": [{"where": "end", "text": tail, "share": 1.0}], "taken_off": 6}
    }
    prompts = {p.prompt for p in read_problems(tmp_path / "train.parquet")}
    assert prompts == {f"How many pens are in {n} boxes of {n + 5}?" for n in range(3, 9)}
    assert tail.split("\\")[0] in (tmp_path / "CARD.md").read_text()


def test_conflicts_are_listed_with_both_answers(tmp_path: Path) -> None:
    rows = [{"q": "How many pens are in 12 boxes of 8?", "a": a} for a in ("96", "98")]
    rows += [{"q": "How many pens are in 3 boxes of 5?", "a": a} for a in ("15", "15.0")]
    _curated(tmp_path, rows, {"prompt": "q", "answer": "a"})
    found = {d["index"]: (d["reason"], d.get("detail")) for d in read_jsonl(tmp_path / "dropped.jsonl")}
    assert found[0] == ("conflicting_answers", "the answers differ: 96 and 98")
    assert found[1] == ("conflicting_answers", "the answers differ: 98 and 96")
    assert found[3][0] == "duplicate_exact"
    _curated(tmp_path, rows, {"prompt": "q", "answer": "a"}, keep_doubtful=True)
    assert [d["detail"] for d in read_jsonl(tmp_path / "doubtful.jsonl")] == ["the answers differ: 96 and 98"]


def test_the_letter_before_a_stated_answer_is_no_part_of_it() -> None:
    assert _verified("7", "Add them. Therefore, the correct answer is (C) 7.").kept[0].verified == "solution"
    assert [d.reason for d in _verified("8", "Add them. Therefore, the correct answer is (C) 7.").drops] == [
        "answer_disagrees"
    ]
