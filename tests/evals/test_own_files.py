"""`ringlite eval --tasks mine --data mine=FILE`: any schema by columns, and scores as CSV."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.evals.own_files import load_own, remember, remembered
from ringlite_cli.evals.scores_csv import write_csv
from ringlite_cli.evals.tasks import load_task


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_columns_are_guessed_or_said(tmp_path: Path) -> None:
    file = write(tmp_path / "f.jsonl", *({"question": f"What is {n} + 1?", "gold": n + 1} for n in range(3)))
    problems = load_task("mine", {"mine": file})
    assert [(p.id, p.domain, p.prompt, p.answer) for p in problems[:1]] == [("mine/0", "math", "What is 0 + 1?", "1")]
    other = write(tmp_path / "g.jsonl", {"frage": "Wie viel ist 2 + 3?", "loesung": "5"})
    (problem,) = load_task("mine", {"mine": other}, columns="prompt=frage,answer=loesung", domain="science")
    assert (problem.prompt, problem.answer, problem.domain) == ("Wie viel ist 2 + 3?", "5", "science")


def test_rows_of_problems_are_taken_as_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "f.jsonl", {"id": "a", "domain": "logic", "prompt": "p", "answer": "x"})
    assert load_task("mine", {"mine": file})[0].id == "a"


def test_what_nothing_can_score_is_left_out_with_a_word_or_refused(tmp_path: Path, caplog: Any) -> None:
    file = write(tmp_path / "f.jsonl", {"question": "a", "gold": 1}, {"question": "b", "gold": None})
    assert len(load_own("mine", file)) == 1
    assert "1 of 2 rows are left out (missing_answer 1)" in caplog.text
    file = write(tmp_path / "g.jsonl", {"question": "a"}, {"question": "b"})
    with pytest.raises(UserError, match=r"nothing verifies a response to any of its 2 rows .*--columns prompt="):
        load_own("mine", file)
    with pytest.raises(UserError, match="no such data file"):
        load_task("mine", {"mine": tmp_path / "none.jsonl"})


def test_how_a_file_was_read_is_kept_for_a_rescore(tmp_path: Path) -> None:
    assert remembered(tmp_path) == {}
    remember(tmp_path, {"mine": "f.jsonl"}, "prompt=q,answer=a", None)
    remember(tmp_path, {"other": "g.jsonl"}, "", "logic")
    assert remembered(tmp_path) == {
        "mine": {"file": "f.jsonl", "columns": "prompt=q,answer=a", "domain": None},
        "other": {"file": "g.jsonl", "columns": "", "domain": "logic"},
    }


def test_scores_as_csv(tmp_path: Path) -> None:
    score = {"avg@k": 0.5, "ci95": [0.25, 0.75], "pass@k": 0.75, "n": 8, "k": 4, "tokens": 90}
    (tmp_path / "scores.json").write_text(json.dumps({"mine": score}))
    rows = list(csv.DictReader(write_csv(tmp_path, "model").open()))
    assert len(rows) == 1
    assert (rows[0]["policy"], rows[0]["task"], rows[0]["avg@k"]) == ("model", "mine", "0.5")
    assert (rows[0]["ci95_low"], rows[0]["ci95_high"], rows[0]["maj@k"]) == ("0.25", "0.75", "")
    (tmp_path / "scores.json").write_text(json.dumps({"base": {"mine": score}, "rl": {"mine": score}}))
    assert [row["policy"] for row in csv.DictReader(write_csv(tmp_path).open())] == ["base", "rl"]
    with pytest.raises(UserError, match="no scores"):
        write_csv(tmp_path / "nowhere")
