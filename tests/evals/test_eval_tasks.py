"""The table of tasks: rows become problems, bad input becomes one clear message."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import Dataset

from ringlite_cli.errors import UserError
from ringlite_cli.evals.evaluate import data_of
from ringlite_cli.evals.tasks import TASKS, load_task
from ringlite_cli.evals.tasks.base import as_text

ROWS = {
    "gsm8k": [
        {"question": "2+2?", "answer": "It is\n#### 1,234"},
        {"problem": "2+2?", "solution": "It is\n#### 1,234", "answer": None},
    ],
    "math500": [{"problem": "2+2?", "answer": "1234"}, {"problem": "2+2?", "answer": 1234.0}],
    "aime24": [{"problem": "2+2?", "answer": "01234"}],
    "amc": [{"problem": "2+2?", "answer": 1234.0}],
    "minerva": [{"problem": "2+2?", "answer": ["1234\n"]}, {"question": "2+2?", "answer": "1234"}],
}


@pytest.mark.parametrize("task", ROWS)
def test_rows_of_hub_and_local_files_give_the_same_problem(task: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(ROWS[task]))
    for index, problem in enumerate(load_task(task, {task: file})):
        assert (problem.id, problem.prompt, problem.answer) == (f"{task}/{index}", "2+2?", "1234")
        assert (problem.domain, problem.source, problem.index) == (TASKS[task].domain, "rows.json", index)


def test_humaneval_becomes_a_unit_test_of_the_response(tmp_path: Path) -> None:
    row = {
        "task_id": "x/0",
        "prompt": "def add(a, b):\n",
        "entry_point": "add",
        "test": "def check(f):\n    assert f(1, 2) == 3",
    }
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(row).encode()))
    problem = load_task("humaneval", {"humaneval": file})[0]
    assert "```python\ndef add(a, b):\n```" in problem.prompt
    assert problem.tests is not None
    namespace: dict[str, object] = {"add": lambda a, b: a + b}
    exec(problem.tests["code"], namespace)
    with pytest.raises(AssertionError):
        exec(problem.tests["code"], {"add": lambda a, b: a - b})
    assert problem.tests["mode"] == "unit"


def test_leetcode_takes_the_hub_form_and_the_local_form(tmp_path: Path) -> None:
    check = "def check(candidate):\n    assert candidate(1) == 2"
    rows = [
        {"query": "add one", "test": check, "entry_point": "Solution().f"},
        {"problem": "add one", "tests": {"functional": f"{check}\n\ncheck(Solution().f)\n"}},
    ]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    hub, local = load_task("leetcode", {"leetcode": file})
    assert hub.tests == local.tests
    assert hub.prompt == local.prompt == "add one"


def test_a_file_of_problems_serves_any_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"id": f"m{i}", "domain": "logic", "prompt": "?"}) + "\n" for i in range(3)))
    assert [p.id for p in load_task("mine", {"mine": file}, limit=2)] == ["m0", "m1"]
    assert [p.id for p in load_task("gsm8k", {"gsm8k": file})] == ["m0", "m1", "m2"]


def test_the_data_folder_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "amc.json").write_text(json.dumps(ROWS["amc"]))
    monkeypatch.setenv("RINGLITE_DATA", str(tmp_path))
    assert load_task("amc")[0].answer == "1234"


def test_rows_that_are_no_problems_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([*ROWS["math500"], {"problem": "no answer", "answer": None}, {"question": "other"}]))
    assert len(load_task("math500", {"math500": file})) == 2
    assert "2 of 4 rows are no math500 problems" in caplog.text


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("gsm8", None, "there is no task 'gsm8'; did you mean 'gsm8k'?"),
        ("zzz", None, "there is no task 'zzz'; the tasks are gsm8k, "),
        ("gsm8k", "absent.json", "no such data file"),
        ("gsm8k", "[1, 2]", "row 0 is a int, not an object"),
        ("gsm8k", "[{", "broken JSON at line 1, column 3"),
        ("gsm8k", '[{"text": "x"}]', "none of its 1 rows is a gsm8k problem; the first row has the fields text"),
        ("gsm8k", "[]", "no problems are left"),
    ],
)
def test_what_a_user_gets_wrong_is_named(tmp_path: Path, name: str, data: str | None, message: str) -> None:
    file = tmp_path / "absent.json"
    if data and data != "absent.json":
        file = tmp_path / "rows.json"
        file.write_text(data)
    with pytest.raises(UserError) as caught:
        load_task(name, {name: file} if data else None)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "expected"), [(142.0, "142"), (0.5, "0.5"), (["9.6\n"], "9.6"), (["1", "2"], '["1", "2"]'), (" x ", "x")]
)
def test_answers_as_text(answer: object, expected: str) -> None:
    assert as_text(answer) == expected


def test_every_task_has_its_card() -> None:
    import importlib

    for name in TASKS:
        card = importlib.import_module(f"ringlite_cli.evals.tasks.{name}").__doc__ or ""
        for line in ("source:", "prompt:", "verifier:", "k:"):
            assert f"\n{line}" in card, f"{name}: {line}"


COUNTS = {"gsm8k": 1319, "math500": 500, "aime24": 30, "amc": 83, "minerva": 272, "humaneval": 164, "leetcode": 200}


@pytest.mark.parametrize("task", COUNTS)
def test_the_real_files_load_whole(real_data: Path, task: str) -> None:
    problems = load_task(task)
    assert len(problems) == COUNTS[task]
    assert all(p.answer or p.tests for p in problems)


def test_a_revision_goes_to_the_hub_and_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file there is none; the commit that was read is told by the addresses of the dataset's files."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    file = tmp_path / "gsm8k.json"
    file.write_text(json.dumps(ROWS["gsm8k"]))
    with pytest.raises(UserError, match="task gsm8k: a local file has no revision"):
        load_task("gsm8k", {"gsm8k": str(file)}, revision=commit)
    with pytest.raises(UserError, match="reasoning-gym, which has no revision"):
        load_task("sudoku", revision=commit)
    data = Dataset.from_list([{"question": "1 + 1?", "answer": "#### 2"}])
    data.info.download_checksums = {f"hf://datasets/openai/gsm8k@{commit}/main/test.parquet": {"num_bytes": 1}}
    asked: list[object] = []

    def hub(name: str, config: object, *, split: str, revision: str) -> Dataset:
        asked.append((name, revision))
        return data

    monkeypatch.setattr("datasets.load_dataset", hub)
    monkeypatch.setenv("RINGLITE_DATA", str(tmp_path))
    problems = load_task("gsm8k", revision="main")
    assert asked == [("openai/gsm8k", "main")]
    assert data_of(problems) == data_of(problems) | {"source": "openai/gsm8k", "revision": commit}
    assert data_of(problems)["digest"] != data_of([replace(problems[0], answer="3")])["digest"]
