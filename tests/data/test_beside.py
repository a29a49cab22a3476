"""Columns beside the mapped ones: pictures and choices that a prompt lacks, functions that tests call, turns before."""

import json
from pathlib import Path
from typing import Any

import pytest
from curation_helpers import exact_match, row

from ringlite_cli.data.adapters.beside import lacks_choices, shows_picture
from ringlite_cli.data.adapters.columns import mapped
from ringlite_cli.data.adapters.fields import BadRow, single
from ringlite_cli.data.curate import curate
from ringlite_cli.data.decontaminate import decontaminate
from ringlite_cli.data.duplicates import drop_duplicates
from ringlite_cli.problems import CONTEXT, Problem, read_problems
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.runs.files import read_jsonl


@pytest.mark.parametrize(
    "columns",
    [
        {"image": "images/1.jpg"},
        {"image": {"bytes": b"\x89PNG", "path": None}},
        {"decoded_image": {"bytes": b"\x89PNG", "path": "1.png"}},
        {"images": [{"bytes": b"\x89PNG", "path": None}]},
        {"image_1": {"src": "https://x.org/1"}, "image_2": None},
        {"image_path": "a/b.webp"},
        {"img": b"\x89PNG"},
        {"figure": "data:image/png;base64,AAAA"},
        {"image_url": "https://x.org/1.png?w=300"},
        {"图片": "1.jpg"},
    ],
)
def test_a_column_holds_a_picture(columns: dict[str, Any]) -> None:
    assert shows_picture({"q": "Find x.", **columns})


@pytest.mark.parametrize(
    "columns",
    [
        {"image": None},
        {"image": ""},
        {"images": []},
        {"image": {"bytes": None, "path": None}},
        {"image": "none needed"},
        {"solution": "see 1.png"},
        {"imagery": "1.png"},
        {"figure_of_merit": "2.jpg"},
    ],
)
def test_no_column_holds_a_picture(columns: dict[str, Any]) -> None:
    assert not shows_picture({"q": "Find x.", **columns})


WORDS = ["oxygen", "fluorine", "chlorine", "nitrogen"]


@pytest.mark.parametrize(
    ("columns", "answer"),
    [
        ({"choices": WORDS}, "B"),
        ({"options": WORDS}, "(b)"),
        ({"choices": {"text": WORDS, "label": list("ABCD")}}, "fluorine"),
        ({"options": {"A": "oxygen", "B": "fluorine"}}, "B"),
        ({"options": [{"id": "A", "text": "oxygen"}, {"id": "B", "text": "fluorine"}]}, "fluorine"),
        (dict(zip(("opa", "opb", "opc", "opd"), WORDS, strict=True)), "1"),
        (dict(zip(("opa", "opb", "opc", "opd"), WORDS, strict=True)), "Ans. is b"),
        (dict(zip("ABCD", WORDS, strict=True)), "B"),
        (dict(zip(("option_a", "option_b", "option_c"), WORDS, strict=False)), "B"),
        (dict(zip(("选项A", "选项B", "选项C", "选项D"), WORDS, strict=True)), "B"),
        (dict(zip(("choice1", "choice2"), WORDS, strict=False)), "fluorine"),
        (dict(zip("ABCD", ["1", "2", "3", "4"], strict=True)), "B"),
    ],
)
def test_choices_stand_beside_the_prompt(columns: dict[str, Any], answer: str) -> None:
    assert lacks_choices({"q": "The most electronegative is", **columns}, "The most electronegative is", answer)


@pytest.mark.parametrize(
    ("columns", "answer", "prompt"),
    [
        ({"choices": ["40", "45", "49"]}, "49", "How many are there?"),  # a value
        ({"choices": WORDS}, "B", "Which? A. oxygen B. fluorine C. chlorine D. nitrogen"),  # all in the prompt
        ({"choices": None}, "B", "Which?"),
        ({"choices": []}, "B", "Which?"),
        ({"choices": ["one"]}, "B", "Which?"),
        ({"choices": WORDS}, "neon", "Which?"),
        ({"choices": WORDS}, None, "Which?"),
        ({"A": "1", "B": "2"}, "B", "Which?"),  # two columns of one letter may be anything
        ({"answer": "B", "b": "B"}, "B", "Which point?"),
    ],
)
def test_no_choices_are_missing(columns: dict[str, Any], answer: str | None, prompt: str) -> None:
    assert not lacks_choices({"q": prompt, **columns}, prompt, answer)


def test_rows_with_pictures_and_choices_beside_them_are_dropped_by_reason(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"q": "Which year had the lowest sales of all?", "a": "2013", "image": "images/7.jpg", "choices": None},
        {"q": "The most electronegative of the elements is", "a": "B", "image": None, "choices": WORDS},
        {"q": "How many edges has a cube in all?", "a": "12", "image": None, "choices": ["8", "10", "12"]},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = Source(path=str(tmp_path / "rows.jsonl"), columns={"prompt": "q", "answer": "a"}, domain="science")
    result = curate([source], {"all": ProblemSet()}, exact_match, tmp_path / "out", seed=1, generators={})
    assert [r["reason"] for r in read_jsonl(tmp_path / "out" / "dropped.jsonl")] == ["image_needed", "choices_missing"]
    assert [p.prompt for p in read_problems(result.sets["all"])] == [lines[2]["q"]]


@pytest.mark.parametrize(
    ("answer", "due"),
    [('["12"]', "12"), ('["\\\\frac{1}{2}"]', "\\frac{1}{2}"), ('["1", "2"]', '["1", "2"]'), ("[1]", "[1]")],
)
def test_a_list_of_one_answer_as_text(answer: str, due: str) -> None:
    assert single(answer) == due


CASES = json.dumps([{"input": "3", "output": "6", "testtype": "functional"}])
STARTER = "class Solution:\n    def __init__(self):\n        pass\n    def calc(self, n: int) -> int:\n        "


@pytest.mark.parametrize(
    "beside",
    [
        {"metadata": json.dumps({"func_name": "calc"}), "starter_code": STARTER},
        {"metadata": "{}", "starter_code": STARTER},
    ],
)
def test_functional_cases_call_the_function_that_the_row_names(beside: dict[str, str]) -> None:
    adapter = mapped({"prompt": "q", "tests": "t"})
    tests = adapter({"q": "Double n.", "t": CASES, **beside})["tests"]
    assert tests == {
        "mode": "function",
        "language": "python",
        "entry_point": "Solution.calc",
        "cases": [{"args": [3], "expected": 6}],
    }


def test_functional_cases_without_a_name_are_refused() -> None:
    with pytest.raises(BadRow, match="do not name it"):
        mapped({"prompt": "q", "tests": "t"})({"q": "Double n.", "t": CASES, "starter_code": "def a(): 1\ndef b(): 2"})


def _asked_after(number: int) -> Problem:
    turns = [{"role": "user", "content": f"A hen lays {number} eggs a day in May. How many in all of May?"}]
    turns.append({"role": "assistant", "content": str(31 * number)})
    return row("Are you sure? Now double that number.", None, id=f"r{number}", labels={CONTEXT: turns}).problem


def test_the_turns_before_a_prompt_are_part_of_what_is_compared() -> None:
    rows = [row(p.prompt, None, id=f"{p.id}-{n}", labels=p.labels) for n, p in enumerate(map(_asked_after, (2, 3, 2)))]
    sifted = drop_duplicates(rows)
    assert [(d.problem.id, d.reason) for d in sifted.drops] == [("r2-2", "duplicate_exact")]


def test_a_held_out_problem_in_an_earlier_turn_is_a_leak() -> None:
    text = "A baker sells 12 loaves at 3 dollars each in the morning and 7 loaves at half that price in the evening; "
    text += "how many dollars has he taken by the end of the day, if he gives back 2 dollars?"
    turns = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": "In all he has taken 44.5 dollars by then."},
    ]
    later = row("And if he gives back 4?", "42.5", id="later", labels={CONTEXT: turns})
    bare = row("And if he gives back 4?", "42.5", id="bare")
    assert [d.problem.id for d in decontaminate([later, bare], [row(text, "44.5", split="eval")]).drops] == ["later"]


def test_a_pass_rate_out_of_a_table_of_text_is_a_number() -> None:
    adapter = mapped({"prompt": "q", "pass_rate": "p", "level": "l"})
    assert adapter({"q": "1+1?", "p": "0.25", "l": "3"})["labels"] == {"pass_rate": 0.25, "level": "3"}
    assert adapter({"q": "1+1?", "p": "n/a", "l": None})["labels"] == {"pass_rate": "n/a"}


@pytest.mark.parametrize("blank", [None, "", float("nan")])
def test_a_label_that_says_nothing_is_none(blank: object) -> None:
    assert mapped({"prompt": "q", "level": "l"})({"q": "1+1?", "l": blank})["labels"] == {}
    assert mapped({"prompt": "q", "level": "l"})({"q": "1+1?", "l": 0})["labels"] == {"level": 0}
