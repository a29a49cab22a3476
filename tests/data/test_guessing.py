# ruff: noqa: E501  (a table of guesses reads best with one per line)
"""Which column of a user's file holds what: guessed by names and by what stands in them, or said."""

import json
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.data.guessing import given_columns, guess_columns, open_file
from ringlite_cli.errors import UserError

LONG = "First we add, then we subtract, and so on until the result stands there in full length."
GUESSES: list[tuple[dict[str, Any], str | None, dict[str, str]]] = [
    ({"question": "q", "answer": 3}, None, {"prompt": "question", "answer": "answer"}),
    ({"Question": "q", "Gold": "3"}, None, {"prompt": "Question", "answer": "Gold"}),
    ({"problem": "q", "solution": LONG, "answer": "3"}, None, {"prompt": "problem", "answer": "answer", "trace": "solution"}),
    ({"problem": "q", "solution": "3"}, None, {"prompt": "problem", "answer": "solution"}),
    ({"question": "q", "answer": LONG}, None, {"prompt": "question", "trace": "answer"}),
    ({"question": "q", "answer": f"{LONG}\n#### 3"}, "gsm8k", {}),
    ({"instruction": "do", "input": "this", "output": LONG}, None, {"prompt": "{instruction}\n\n{input}", "trace": "output"}),
    ({"messages": [{"role": "user", "content": "q"}], "answer": "3"}, None, {"prompt": "messages", "answer": "answer"}),
    ({"prompt": "q", "answer": "3", "id": "x"}, None, {}),
    ({"prompt": "q", "answer": "3", "level": 2}, None, {"prompt": "prompt", "answer": "answer", "level": "level"}),
    ({"prompt": "q", "test_cases": [{"input": "1", "output": "2"}]}, None, {"prompt": "prompt", "tests": "test_cases"}),
    ({"question": "q", "target": 3, "domain": "math"}, None, {"prompt": "question", "answer": "target", "domain": "domain"}),
    ({"question": "q", "Correct Answer": "3 m"}, None, {"prompt": "question", "answer": "Correct Answer"}),
    ({"prompt": [{"role": "user", "content": "q"}], "reward_model": {"ground_truth": "3", "style": "rule"}}, None, {"prompt": "prompt", "answer": "reward_model.ground_truth"}),
    ({"prompt": "q", "task_type": "math", "verification_info": '{"ground_truth": "3"}'}, None, {"prompt": "prompt", "answer": "verification_info.ground_truth"}),
    ({"problem": "q", "solution": r"So it is $\boxed{3}$."}, None, {"prompt": "problem", "trace": "solution"}),
    ({"problem": "q", "answer": r"$\boxed{3}$"}, None, {"prompt": "problem", "answer": "answer"}),
    ({"question": "q", "target": 3, "domain": "algebra"}, None, {"prompt": "question", "answer": "target"}),
]  # fmt: skip


@pytest.mark.parametrize(("row", "adapter", "columns"), GUESSES)
def test_the_columns_are_guessed(row: dict[str, Any], adapter: str | None, columns: dict[str, str]) -> None:
    found = guess_columns([row] * 3, "f.jsonl")
    assert (found.adapter, found.columns) == (adapter, columns)


def test_a_column_that_says_one_word_in_all_rows_is_no_answer_and_no_trace() -> None:
    rows = [{"input": f"What is {n} + 1?", "reasoning": "on", "output": f"{LONG} {n}"} for n in range(5)]
    assert guess_columns(rows, "f.jsonl").columns == {"prompt": "input", "trace": "output"}


def test_a_file_whose_prompt_nothing_names_is_refused_with_its_columns() -> None:
    with pytest.raises(UserError, match=r"there are 'foo', 'bar'; say it, as in --columns prompt=<column>"):
        guess_columns([{"foo": "a", "bar": 1}], "f.jsonl")


def test_columns_can_be_said() -> None:
    rows = [{"frage": "q", "loesung": 3}]
    assert given_columns("prompt=frage, answer=loesung", rows, "f") == {"prompt": "frage", "answer": "loesung"}
    for text, message in (
        ("prompt", "'prompt' is not FIELD=COLUMN"),
        ("prompt=frge", "no column 'frge'; did you mean 'frage'"),
        ("answer=loesung", "nothing is mapped to 'prompt'"),
    ):
        with pytest.raises(UserError, match=message):
            given_columns(text, rows, "f")


@pytest.mark.parametrize(
    ("row", "domain"),
    [
        ({"question": "q", "gold": 3}, "math"),
        ({"prompt": "q", "tests": [{"input": "1", "output": "2"}], "level": 1}, "code"),
        ({"question": "q", "response": LONG}, "general"),
        ({"question": "q", "response": LONG + r" \boxed{3}"}, "math"),
        ({"question": "q", "gold": 3, "domain": "science"}, None),
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": r"So \boxed{3}"}]}, "math"),
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "hello"}]}, "general"),
    ],
)
def test_the_domain_follows_from_what_verifies(row: dict[str, Any], domain: str | None, tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    file.write_text(f"{json.dumps(row)}\n" * 3)
    assert open_file(file).domain == domain
    assert open_file(file, domain="logic").domain == "logic"


def test_a_file_without_a_readable_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text("{broken\n")
    with pytest.raises(UserError, match="no row of it can be read"):
        open_file(tmp_path / "f.jsonl")
    with pytest.raises(UserError, match="did you mean 'math'"):
        open_file(tmp_path / "f.jsonl", domain="maths")
