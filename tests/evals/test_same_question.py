"""A task asks what a held-out set of the same rows asks: decontamination looks for the question that is evaluated."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.data.adapters import choose
from ringlite_cli.data.readers import read_file
from ringlite_cli.evals.tasks import TASKS, load_task

ADAPTER_OF = {
    "gsm8k": "gsm8k", "math500": "math", "aime24": "aime", "aime25": "aime", "amc": "amc", "minerva": "minerva",
    "humaneval": "humaneval", "mbpp": "mbpp", "leetcode": "leetcode",
}  # fmt: skip
WORKED = {"solution": "so \\boxed{70}", "level": "Level 2", "type": "Algebra", "unique_id": "a/1"}
CHECK = "def check(candidate):\n    assert candidate(1) == 2"
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("gsm8k", {"question": "How many?", "answer": "1 + 1 = <<1+1=2>>2\n#### 1,002"}),
    ("math500", {"problem": "Find x.", "answer": "\\frac{1}{2}"} | WORKED),
    ("math500", {"problem": "Find x."} | WORKED),
    ("aime24", {"problem": "How many?", "answer": "070", "year": "2024"}),
    ("aime25", {"question": "How many?", "answer": 70}),
    ("amc", {"problem": "How many?", "answer": 142.0, "url": "x"}),
    ("minerva", {"problem": "How far?", "answer": ["1.4\n", "1.4"], "type": "physics", "idx": 1}),
    ("humaneval", {"task_id": "a/1", "prompt": "\ndef add(a):\n", "entry_point": "add", "test": CHECK}),
    ("mbpp", {"task_id": 1, "text": " Add one. ", "test_list": ["assert add(1) == 2"], "test_setup_code": ""}),
    ("leetcode", {"problem_description": "Add one.", "starter_code": "class S:", "query": "Complete ... Add one.",
                  "entry_point": "S().f", "test": CHECK}),
    ("leetcode", {"problem": "Add one.", "tests": {"functional": CHECK}}),
]  # fmt: skip


@pytest.mark.parametrize(("task", "row"), FORMS)
def test_one_row_is_one_question(tmp_path: Path, task: str, row: dict[str, Any]) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([row]))
    read, _ = choose(ADAPTER_OF[task], {}, "here")
    fields, (problem,) = read(row), load_task(task, {task: file})
    assert problem.answer or problem.tests
    assert (problem.prompt, problem.answer, problem.tests) == (
        fields["prompt"], fields.get("answer"), fields.get("tests"),
    )  # fmt: skip


@pytest.mark.parametrize("task", ADAPTER_OF)
def test_whole_benchmarks_too(task: str) -> None:
    data = os.environ.get("RINGLITE_DATA")
    file = Path(data or "") / TASKS[task].file
    if not data or not file.is_file():
        pytest.skip(f"RINGLITE_DATA names no folder with {TASKS[task].file}")
    read, _ = choose(ADAPTER_OF[task], {}, "here")
    asked = {problem.index: problem for problem in load_task(task, {task: file})}
    assert asked
    for index, row in enumerate(read_file(file)):
        if index in asked:
            assert asked[index].prompt == read(row)["prompt"]
