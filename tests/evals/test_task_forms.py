"""Tasks in the form that their datasets have: what the prompt says, and that the verifier knows right from wrong."""

import base64
import importlib
import json
import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweeps import sample_of

from ringlite_cli.data.games.drawing import forget
from ringlite_cli.errors import UserError
from ringlite_cli.evals.tasks import TASKS, load_task
from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.rewards.gym import is_installed
from ringlite_cli.rewards.verifiers import route_of


def boxed(answer: str) -> str:
    return f"So it is \\boxed{{{answer}}}."


def program(code: str) -> str:
    return f"```python\n{code}\n```"


def hidden(tests: list[dict[str, str]]) -> str:
    """Private tests as LiveCodeBench writes them."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


GPQA = {"Question": "Which is it?", "Correct Answer": "the left one", "Incorrect Answer 1": "the right one",
        "Incorrect Answer 2": "both", "Incorrect Answer 3": "none"}  # fmt: skip
MBPP = {"task_id": 11, "text": "Write a function to add.", "code": "", "test_setup_code": "",
        "test_list": ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"], "challenge_test_list": []}  # fmt: skip
STDIN_TESTS = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
LCB_STDIN = {"question_content": "Add two numbers.", "starter_code": "", "metadata": "{}",
             "public_test_cases": json.dumps(STDIN_TESTS),
             "private_test_cases": hidden([{"input": "5 5\n", "output": "10", "testtype": "stdin"}])}  # fmt: skip
LCB_CALL = {"question_content": "Add two numbers.", "metadata": json.dumps({"func_name": "add"}),
            "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
            "public_test_cases": json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}]),
            "private_test_cases": hidden([{"input": "5\n5", "output": "10", "testtype": "functional"}])}  # fmt: skip
CODEFORCES = {"title": "Sum", "description": "Add.", "input_format": "Two numbers.", "output_format": "Their sum.",
              "examples": [{"input": "1 2", "output": "3"}], "official_tests": [{"input": "5 5", "output": "10"}],
              "official_tests_complete": True, "generated_checker": None, "input_mode": "stdio", "time_limit": 2.0,
              "memory_limit": 256.0, "interaction_format": None}  # fmt: skip
IFEVAL = {"key": 1000, "prompt": "Say hello without a comma.", "instruction_id_list": ["punctuation:no_comma"],
          "kwargs": [{"num_words": None}]}  # fmt: skip
ADD = "print(sum(map(int, input().split())))"

FORMS: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("aime25", {"id": "0", "problem": "How many?", "answer": "070"}, "How many?", boxed("70"), boxed("71")),
    ("cnmo24", {"question": "How many?", "answer": "$\\frac{1}{2}$"}, "How many?", boxed("0.5"), boxed("2")),
    ("livemathbench", {"question": "How many?", "answer": "7"}, "How many?", boxed("7"), boxed("8")),
    ("olympiadbench", {"question": "Find x.", "final_answer": ["$2$"], "unit": "cm"}, "in cm", boxed("2"), boxed("3")),
    ("olympiadbench", {"question": "Find all.", "final_answer": ["$1$", "$-1$"], "unit": None}, "Find all.",
     boxed("1, -1"), boxed("1")),
    ("gpqa_diamond", GPQA, "right choice", boxed("the left one"), boxed("both")),
    ("theoremqa", {"Question": "How much?", "Answer": "0.5", "Answer_type": "float", "Picture": None}, "decimal",
     boxed("0.501"), boxed("0.6")),
    ("theoremqa", {"Question": "Is it?", "Answer": "True", "Answer_type": "bool", "Picture": None}, "True or False",
     boxed("True"), boxed("False")),
    ("theoremqa", {"Question": "Which?", "Answer": "[1, 2]", "Answer_type": "list of integer", "Picture": None},
     "list of integers", boxed("[1, 2]"), boxed("[2, 1]")),
    ("mbpp", MBPP, "assert add(1, 2) == 3", program("def add(a, b): return a + b"), program("def add(a, b): return 3")),
    ("livecodebench", LCB_STDIN, "standard input", program(ADD), program("print(3)")),
    ("livecodebench", LCB_CALL, "class Solution", program("class Solution:\n def add(self, a, b): return a + b"),
     program("class Solution:\n def add(self, a, b): return 3")),
    ("codeforces", CODEFORCES, "input:\n1 2\noutput:\n3", program(ADD), program("print(3)")),
    ("ifeval", IFEVAL, "without a comma", "Hello there", "Hello, there"),
]  # fmt: skip


def load_rows(task: str, rows: list[dict[str, Any]], folder: Path) -> list[Problem]:
    file = folder / "rows.json"
    file.write_text(json.dumps(rows))
    return load_task(task, {task: file})


@pytest.fixture(scope="module")
def verify() -> Iterator[Verifiers]:
    with Verifiers(VerifierSettings(workers=1)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("task", "row", "asks", "right", "wrong"), FORMS, ids=[f"{f[0]}-{i}" for i, f in enumerate(FORMS)]
)
def test_a_row_of_the_dataset_is_asked_and_verified(
    task: str, row: dict[str, Any], asks: str, right: str, wrong: str, tmp_path: Path, verify: Verifiers
) -> None:
    (problem,) = load_rows(task, [row], tmp_path)
    assert asks in problem.prompt
    assert [v.reward for v in verify([(problem, right), (problem, wrong)])] == [1.0, 0.0]


def test_the_letter_of_a_choice_counts_and_the_order_is_the_rows_own(tmp_path: Path, verify: Verifiers) -> None:
    (problem,), again = load_rows("gpqa_diamond", [GPQA], tmp_path), load_rows("gpqa_diamond", [GPQA], tmp_path)
    assert [problem] == again
    letter = next(line[0] for line in problem.prompt.splitlines() if line.endswith("the left one"))
    other = "A" if letter != "A" else "B"
    assert [v.reward for v in verify([(problem, boxed(letter)), (problem, boxed(other))])] == [1.0, 0.0]
    orders = set()
    for number in range(20):
        (asked,) = load_rows("gpqa_diamond", [GPQA | {"Question": f"Which is {number}?"}], tmp_path)
        orders.add(next(line[0] for line in asked.prompt.splitlines() if line.endswith("the left one")))
    assert orders == set("ABCD")


LEFT_OUT = [
    ("theoremqa", {"Question": "?", "Answer": "1", "Picture": {"bytes": "x"}}),
    ("codeforces", CODEFORCES | {"generated_checker": "import sys"}),
    ("codeforces", CODEFORCES | {"official_tests_complete": False}),
    ("aime25", {"problem": "?", "answer": "not a number"}),
]


@pytest.mark.parametrize(("task", "row"), LEFT_OUT)
def test_rows_that_cannot_be_verified_are_left_out_and_counted(
    task: str, row: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = next(form[1] for form in FORMS if form[0] == task)
    assert [p.index for p in load_rows(task, [row, good], tmp_path)] == [1]
    assert f"1 of 2 rows are no {task} problems" in caplog.text


def test_hidden_tests_that_would_run_something_are_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    packed = base64.b64encode(zlib.compress(pickle.dumps(Bomb()))).decode()
    with pytest.raises(UserError, match="none of its 1 rows is a livecodebench problem"):
        load_rows("livecodebench", [LCB_STDIN | {"private_test_cases": packed}], tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("task", ["countdown", "sudoku", "maze", "family_relationships"])
@pytest.mark.parametrize("count", sample_of([8, 200], 8))
@pytest.mark.skipif(not is_installed(), reason="reasoning-gym is not installed")
def test_generated_puzzles_are_the_same_each_time_and_scored(task: str, count: int, verify: Verifiers) -> None:
    problems = load_task(task, limit=None if count == 200 else count)
    assert len(problems) == count
    forget()
    assert problems[:5] == load_task(task, limit=5)
    answer = json.loads(problems[0].answer or "")["answer"]
    pairs = [(problems[0], f"<answer>{text}</answer>") for text in (answer, "1")]
    assert [v.reward for v in verify(pairs)] == [1.0, 0.0]


def test_without_reasoning_gym_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "reasoning_gym", None)
    with pytest.raises(UserError, match=r"reasoning-gym, which is not installed.*ringlite\[gym\].*--data countdown"):
        load_task("countdown")


def test_a_task_whose_data_cannot_be_had_names_the_file_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGLITE_DATA", raising=False)
    with pytest.raises(UserError, match=r"task cnmo24: cannot load opencompass/LiveMathBench.*--data cnmo24=FILE"):
        load_task("cnmo24")


def test_the_issues_tasks_are_all_there_with_a_card_and_a_verifier() -> None:
    wanted = (
        "gsm8k math500 aime24 aime25 amc cnmo24 livemathbench minerva olympiadbench gpqa_diamond theoremqa humaneval "
        "mbpp leetcode livecodebench codeforces ifeval countdown sudoku mini_sudoku number_sorting maze shortest_path "
        "arc_1d family_relationships knights_knaves"
    )
    assert " ".join(TASKS) == wanted
    for name, task in TASKS.items():
        card = importlib.import_module(f"ringlite_cli.evals.tasks.{name}").__doc__ or ""
        for line in ("source:", "revision:", "prompt:", "verifier:", "k:"):
            assert f"\n{line}" in card, f"{name}: {line}"
        assert card.split("\nk:")[1].split(",")[0].split()[0] == str(task.k)
        route_of(Problem("x", task.domain, "?", verifier=task.verifier))
