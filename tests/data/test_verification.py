"""Verification by what a source brings: held-out rows that nothing scores, answers in several forms, solutions run."""

import json
from pathlib import Path

import pytest
from curation_helpers import row

from ringlite_cli.data.curate import curate
from ringlite_cli.data.rows import Drop
from ringlite_cli.data.verification import boxed, run_aside, verify_rows
from ringlite_cli.problems import read_problems
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.rewards import Verifiers
from ringlite_cli.runs.files import read_jsonl

PASSES = "```python\ndef add(a, b):\n    return a + b\n```"
TESTS = {"mode": "function", "language": "python", "entry_point": "add", "cases": [{"args": [1, 2], "expected": 3}]}


def test_an_answer_in_several_forms_is_boxed_in_one() -> None:
    several = row("Find the angle.", json.dumps([r"\arcsin{\frac{10}{13}}", r"\arcsin{\frac{1}{1.3}}"]))
    with Verifiers() as verify:
        sifted = verify_rows([several], verify)
    assert boxed(several.problem) == r"\boxed{\arcsin{\frac{10}{13}}}"
    assert (sifted.drops, several.verified) == ([], "answer")


@pytest.mark.parametrize(
    ("answer", "trace", "verified", "doubtful"),
    [
        ("4", "It is \\boxed{4}.", "trace", []),
        ("4", "It is four, as the problem says.", "answer", []),
        ("", None, "", ["unparseable_answer"]),
    ],
)
def test_a_held_out_row_stays_and_is_doubtful_where_nothing_scores(
    answer: str, trace: str | None, verified: str, doubtful: list[str]
) -> None:
    held = row("What is 2 + 2?", answer, trace=trace, split="eval")
    with Verifiers() as verify:
        sifted = verify_rows([held], verify)
    assert sifted.kept == [held]
    assert sifted.drops == []
    assert [d.reason for d in sifted.doubtful] == doubtful
    assert (held.verified, held.problem.trace) == (verified, trace)


def test_solutions_of_rows_that_a_rule_drops_are_run_for_the_count() -> None:
    fine = row("Add, as in the figure.", None, domain="code", tests=TESTS, trace=PASSES)
    wrong = row("Add, see ![x](a.png).", None, domain="code", tests=TESTS, trace=PASSES.replace("+", "-"))
    cut = row("Add.", None, domain="code", tests={**TESTS, "cases": [{"args": ["1..."], "expected": 3}]}, trace=PASSES)
    drops = [Drop(fine, "image_needed"), Drop(wrong, "image_needed"), Drop(cut, "tests_truncated")]
    with Verifiers() as verify:
        ran = run_aside(drops, verify)
    assert {outcome: n for (_, outcome), n in ran.items()} == {"passed": 1, "solution_wrong": 1}


def test_curation_lists_doubtful_rows_beside_the_set_that_holds_them(tmp_path: Path) -> None:
    rows = [{"q": f"What is {n} + 2?", "a": a} for n, a in ((2, "4"), (3, "\\frac{"))]
    path = tmp_path / "held.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    source = Source(path=str(path), columns={"prompt": "q", "answer": "a"}, domain="math", split="eval")
    with Verifiers() as verify:
        curate([source], {"eval": ProblemSet(split="eval")}, verify, tmp_path, seed=1, generators={})
    funnel = json.loads((tmp_path / "funnel.json").read_text())
    listed = read_jsonl(tmp_path / "doubtful.jsonl")
    assert len(list(read_problems(tmp_path / "eval.parquet"))) == 2
    assert [(r["source"], r["index"]) for r in listed] == [("held.jsonl", 1)]
    assert funnel["doubtful"] == {"held.jsonl": {"unparseable_answer": 1}}
    assert "doubtful.jsonl lists them" in (tmp_path / "CARD.md").read_text()
