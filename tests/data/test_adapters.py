"""Each adapter on a row as its data set writes it."""

from typing import Any

import pytest

from ringlite_cli.data.adapters import ADAPTERS, BadRow, choose
from ringlite_cli.data.adapters.columns import mapped
from ringlite_cli.data.adapters.fields import answer_text
from ringlite_cli.errors import UserError


def test_gsm8k_both_forms() -> None:
    worked = "She sold 48/2 = <<48/2=24>>24.\n#### 1,024"
    for raw in ({"question": "Q?", "answer": worked}, {"problem": "Q?", "solution": worked, "answer": None}):
        fields = ADAPTERS["gsm8k"](raw)
        assert fields["prompt"] == "Q?"
        assert fields["answer"] == "1024"
        assert fields["trace"] == "She sold 48/2 = 24.\nThe final answer is \\boxed{1024}."


def test_gsm8k_without_final_line_is_a_bad_row() -> None:
    with pytest.raises(BadRow, match="####"):
        ADAPTERS["gsm8k"]({"question": "Q?", "answer": "It is 4."})


def test_math_takes_the_answer_or_the_last_box() -> None:
    given = ADAPTERS["math"]({"problem": "P", "answer": "7", "difficulty": 3.0, "type": "Algebra"})
    assert (given["answer"], given["labels"]) == ("7", {"subject": "Algebra", "difficulty": 3.0})
    worked = "So $\\boxed{1}$, no: $\\boxed{\\frac{1}{2}}$."
    boxed = ADAPTERS["math"]({"problem": "P", "solution": worked, "level": "Level 2", "type": "Algebra"})
    assert (boxed["answer"], boxed["trace"]) == ("\\frac{1}{2}", worked)
    assert ADAPTERS["math"]({"problem": "P", "answer": None})["answer"] is None


def test_aime_loses_leading_zeros_and_signatures() -> None:
    raw = {"problem": "P", "solution": "It is \\boxed{025}.\n ~someone\n ~other", "answer": "025", "year": 1999}
    fields = ADAPTERS["aime"](raw)
    assert (fields["answer"], fields["trace"]) == ("25", "It is \\boxed{025}.")
    assert fields["labels"]["year"] == 1999


def test_amc_and_minerva_answers() -> None:
    assert ADAPTERS["amc"]({"problem": "P", "answer": 142.0, "url": "u"})["answer"] == "142"
    once = ADAPTERS["minerva"]({"problem": "P", "solution": "S", "type": "T", "answer": ["10\n", "10"]})
    assert once["answer"] == "10"
    several = ADAPTERS["minerva"]({"problem": "P", "answer": ["x+1\n", "1+x"]})
    assert several["answer"] == '["x+1", "1+x"]'


def test_leetcode_and_humaneval_make_unit_tests() -> None:
    code = "def check(candidate):\n    assert candidate(1) == 2\n\ncheck(Solution().f)"
    raw = {"problem": "P", "solutions": "class Solution:\n    pass", "tests": {"functional": code}}
    fields = ADAPTERS["leetcode"](raw)
    assert fields["tests"]["mode"] == "unit"  # type: ignore[index]
    assert fields["tests"]["code"] == code  # type: ignore[index]
    assert fields["trace"].startswith("```python\n")  # type: ignore[union-attr]
    raw = {
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "canonical_solution": "    return x\n",
        "test": "def check(c): ...",
    }
    human = ADAPTERS["humaneval"](raw)
    assert human["tests"]["code"].endswith("check(f)\n")  # type: ignore[index]
    assert "def f(x):\n    return x\n```" in human["trace"]  # type: ignore[operator]


def test_columns_map_any_schema() -> None:
    read = mapped({"prompt": "q", "answer": "a", "tests": "t", "topic": "tag"})
    fields = read({"q": "Q?", "a": 3, "t": '{"mode": "stdin"}', "tag": "sums"})
    assert (fields["answer"], fields["tests"], fields["labels"]) == ("3", {"mode": "stdin"}, {"topic": "sums"})
    assert read({"q": "Q?", "t": ""}) == {"prompt": "Q?", "answer": None, "tests": None, "trace": None, "labels": {}}
    with pytest.raises(BadRow, match=r"no column 'q'; it has 'a'"):
        read({"a": "3"})
    with pytest.raises(BadRow, match=r"^'q' is empty$"):
        read({"q": None, "a": "3"})
    with pytest.raises(UserError, match="nothing to 'prompt'"):
        mapped({"answer": "a"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        (" 4 ", "4"),
        (4, "4"),
        (4.0, "4"),
        (4.5, "4.5"),
        ([], None),
        (["a"], "a"),
    ],
)
def test_answers_of_any_type(value: Any, text: str | None) -> None:
    assert answer_text(value) == text


@pytest.mark.parametrize("value", [float("nan"), {"a": 1}])
def test_answers_of_no_type(value: Any) -> None:
    with pytest.raises(BadRow):
        answer_text(value)


@pytest.mark.parametrize("name", ["math", "minerva", "numinamath"])
@pytest.mark.parametrize(
    ("worked", "answer"),
    [
        ("so \\boxed{a{b}c} and \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("so \\boxed 5 it is", "5"),
        ("so \\fbox{7}", "7"),
        ("so \\boxed{5}, or \\boxed{never closed", "5"),
        ("so \\boxed{never closed", None),
        ("so \\boxed{}", None),
        ("no box", None),
    ],
)
def test_the_answer_is_the_box_that_a_verifier_reads(name: str, worked: str, answer: str | None) -> None:
    assert ADAPTERS[name]({"problem": "P", "solution": worked}).get("answer") == answer


def test_own_schema_and_wrong_names() -> None:
    fields = ADAPTERS["problems"]({"id": "x", "domain": "logic", "prompt": "P", "answer": "1", "labels": '{"k": 2}'})
    assert fields["domain"] == "logic"
    assert fields["labels"] == {"original_id": "x", "k": 2}
    with pytest.raises(UserError, match="did you mean 'gsm8k'"):
        choose("gsm8", {}, "sources")
    with pytest.raises(BadRow, match="not text"):
        ADAPTERS["math"]({"problem": 3})
