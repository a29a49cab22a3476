"""Each public data set's schema, as small files with rows written by hand, through the whole loader."""

import json
from pathlib import Path
from typing import Any

import pytest
from curation_helpers import exact_match

from ringlite_cli.data.adapters import ADAPTERS, BadRow
from ringlite_cli.data.cards import shipped
from ringlite_cli.data.cleansing import cleanse
from ringlite_cli.data.sources import load_sources
from ringlite_cli.data.verification import verify_rows
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.schema import Source

SUM = "A baker sells 12 loaves on Monday and 30 loaves on Tuesday. How many loaves is that?"
BOXED = "They add up: $12+30=\\boxed{42}$."
CASES = {"input": ["1 2\n", "3 4\n"], "output": ["3\n", "7\n"]}
ADDER = "a, b = map(int, input().split())\nprint(a + b)"
DAPO = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n{}\n\n"
    'Remember to put your answer on its own line after "Answer:".'
)

ROWS: dict[str, dict[str, Any]] = {
    "deepscaler": {"problem": SUM, "answer": "42", "solution": BOXED},
    "bigmath": {
        "problem": SUM,
        "answer": "42",
        "source": "orca_math",
        "domain": ["Mathematics -> Algebra"],
        "llama8b_solve_rate": 0.75,
    },
    "dapo": {
        "data_source": "math_dapo",
        "prompt": [{"content": DAPO.format(SUM), "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": "42", "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": "9a9b6eb4"},
    },
    "deepmath": {
        "question": SUM,
        "final_answer": "42",
        "difficulty": 5.0,
        "topic": "Mathematics -> Algebra -> Sums",
        "r1_solution_1": "I think so.",
        "r1_solution_2": BOXED,
        "r1_solution_3": BOXED,
    },
    "openr1": {
        "problem": SUM,
        "solution": "See the book.",
        "answer": "42",
        "problem_type": "Algebra",
        "question_type": "math-word-problem",
        "source": "olympiads",
        "uuid": "u-1",
        "is_reasoning_complete": [True, True, False],
        "generations": ["<think>\nno\n</think>\n\\boxed{41}", f"<think>\nyes\n</think>\n{BOXED}", "<think>\n12"],
        "correctness_math_verify": [False, True, False],
        "correctness_llama": None,
    },
    "numinamath": {
        "problem": SUM,
        "solution": BOXED,
        "answer": "42",
        "problem_type": "Algebra",
        "question_type": "math-word-problem",
        "problem_is_valid": "Yes",
        "solution_is_valid": "Yes",
        "source": "olympiads",
        "synthetic": False,
    },
    "scp116k": {
        "domain": "physics",
        "problem": SUM,
        "extract_solution": "42",
        "r1_reasoning_content": "twelve and thirty",
        "r1_response": BOXED,
        "is_r1_solution_same_with_matched_solution": True,
    },
    "codecontests": {
        "name": "1_A. Sum",
        "description": "Print the sum of two numbers that stand on one line.",
        "public_tests": {"input": CASES["input"][:1], "output": CASES["output"][:1]},
        "private_tests": {"input": CASES["input"][1:], "output": CASES["output"][1:]},
        "generated_tests": {"input": [], "output": []},
        "solutions": {"language": [2, 3], "solution": ["int main() {}", ADDER]},
        "incorrect_solutions": {"language": [3], "solution": ["print(3)"]},
        "cf_rating": 800,
    },
    "taco": {
        "question": "Print the sum of two numbers that stand on one line.",
        "solutions": json.dumps([ADDER]),
        "starter_code": "",
        "input_output": json.dumps({"inputs": CASES["input"], "outputs": CASES["output"]}),
        "difficulty": "EASY",
        "skill_types": "[]",
        "picture_num": None,
    },
    "apps": {
        "problem_id": 7,
        "question": "Return the sum of two numbers that you are given.",
        "solutions": json.dumps(["class Solution:\n    def add(self, a, b):\n        return a - b"]),
        "starter_code": "class Solution:\n    def add(self, a, b):\n",
        "input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2]], "outputs": [[3]]}),
        "difficulty": "introductory",
        "url": "",
    },
    "mbpp": {
        "task_id": 2,
        "text": "Write a function to add two numbers.",
        "code": "def add(a, b):\r\n  return a + b",
        "test_list": ["assert add(1, 2) == 3", "assert add(3, 4) == 7"],
        "test_setup_code": "",
        "challenge_test_list": [],
    },
    "leetcode": {
        "task_id": "two-sum",
        "question_id": 1,
        "difficulty": "Easy",
        "tags": ["Array", "Hash Table"],
        "problem_description": "Return the sum of two numbers.",
        "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
        "prompt": "from typing import *",
        "completion": "class Solution:\n    def add(self, a, b):\n        return a + b",
        "entry_point": "Solution().add",
        "test": "def check(candidate):\n    assert candidate(a = 1, b = 2) == 3\n",
    },
    "aime": {"ID": "1983-1", "Year": 1983, "Problem Number": 1, "Question": SUM, "Answer": "042", "Part": None},
    "minerva": {"question": SUM, "answer": "42"},
}


def load(folder: Path, adapter: str, row: dict[str, Any]) -> Problem:
    path = folder / f"{adapter}.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (source,) = load_sources([Source(path=str(path), adapter=adapter)], seed=1, generators={})
    return source.rows[0].problem


@pytest.mark.parametrize("adapter", ROWS)
def test_a_row_of_the_schema_comes_through(tmp_path: Path, adapter: str) -> None:
    problem = load(tmp_path, adapter, ROWS[adapter])
    if problem.domain == "code":
        assert problem.tests
        assert (problem.trace or "").startswith("```python\n")
        assert "number" in problem.prompt
    else:
        assert problem.prompt == SUM
        assert problem.answer == "42"


@pytest.mark.parametrize("adapter", [a for a in ROWS if a not in ("apps",)])
def test_such_a_row_passes_every_rule(tmp_path: Path, adapter: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS[adapter]) + "\n")
    (source,) = load_sources([Source(path=str(path), adapter=adapter)], seed=1, generators={})
    assert cleanse(source.rows).drops == []


def test_every_adapter_and_only_those_have_a_card() -> None:
    assert {a for card in shipped() for a in card.adapters} == set(ADAPTERS) - {"problems", "chat"}


def test_what_each_schema_hides(tmp_path: Path) -> None:
    problems = {adapter: load(tmp_path, adapter, row) for adapter, row in ROWS.items()}
    assert problems["bigmath"].labels["given_pass_rate"] == 0.75
    assert problems["deepmath"].trace == BOXED
    assert problems["openr1"].trace == f"<think>\nyes\n</think>\n{BOXED}"
    assert problems["scp116k"].trace == f"<think>\ntwelve and thirty\n</think>\n\n{BOXED}"
    contest = problems["codecontests"]
    assert contest.tests == {
        "mode": "stdin",
        "language": "python",
        "cases": [{"input": i, "output": o} for i, o in zip(*CASES.values(), strict=True)],
    }
    assert contest.labels["wrong_solutions"] == ["```python\nprint(3)\n```"]
    apps = problems["apps"].tests or {}
    assert (apps["mode"], apps["entry_point"], apps["cases"]) == (
        "function",
        "Solution.add",
        [{"args": [1, 2], "expected": 3}],
    )
    assert "assert add(1, 2) == 3\n" in problems["mbpp"].prompt
    assert (problems["leetcode"].tests or {})["code"].endswith("check(Solution().add)\n")
    assert "class Solution" in problems["leetcode"].prompt


def test_numinamath_words_that_stand_for_no_answer_and_its_flags(tmp_path: Path) -> None:
    row = ROWS["numinamath"]
    proof = row | {"answer": "proof", "question_type": "proof"}
    choice = row | {"answer": "B", "question_type": "MCQ"}
    invalid = row | {"problem_is_valid": "Incomplete"}
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in (row, proof, choice, invalid)))
    (source,) = load_sources([Source(path=str(path), adapter="numinamath")], seed=1, generators={})
    assert [d.reason for d in cleanse(source.rows).drops] == ["proof", "multiple_choice", "declared_invalid"]
    chain = {"source": "cn_k12", "problem": SUM, "solution": BOXED, "messages": []}
    assert load(tmp_path, "numinamath", chain).answer == "42"


def test_another_accepted_solution_steps_in_for_one_that_fails(tmp_path: Path) -> None:
    wrong, right = "def add(a, b):\n    return a - b", "def add(a, b):\n    return a + b"
    plain = ROWS["apps"] | {"starter_code": ""}
    rows = [plain | {"solutions": json.dumps(programs)} for programs in ([wrong], [wrong, right])]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    (source,) = load_sources([Source(path=str(path), adapter="apps")], seed=1, generators={})
    sifted = verify_rows(source.rows, exact_match)
    assert [d.problem.index for d in sifted.drops] == [0]
    (kept,) = sifted.kept
    assert kept.problem.trace == f"```python\n{right}\n```"
    assert "other_solutions" not in kept.problem.labels
    assert kept.verified == "solution"


@pytest.mark.parametrize(
    ("adapter", "change", "says"),
    [
        ("dapo", {"prompt": [{"role": "system", "content": "x"}]}, "no turn of the user"),
        ("taco", {"input_output": "{broken"}, "not JSON"),
        ("taco", {"input_output": "[1]"}, "no lists 'inputs' and 'outputs'"),
        ("taco", {"input_output": '{"inputs": ["1"], "outputs": []}'}, "1 inputs, but 0 outputs"),
        ("codecontests", {"public_tests": 3}, "is a int, not lists"),
        ("mbpp", {"test_list": "assert"}, "not a list of texts"),
        ("deepmath", {"question": None}, "'question' is empty"),
    ],
)
def test_rows_of_another_schema_say_so(adapter: str, change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRow, match=says):
        ADAPTERS[adapter](ROWS[adapter] | change)
