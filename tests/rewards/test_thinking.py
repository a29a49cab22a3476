"""Verdicts on responses that think: what stands inside thoughts earns nothing, in any domain."""

import json

import pytest

from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.rewards.verify_file import verify_file

MATH = Problem("m", "math", "?", "5")
SCIENCE = Problem("s", "science", "?", "5 m")
LOGIC = Problem("l", "logic", "?", "5")
CODE = Problem("c", "code", "?", None, {"mode": "stdin", "language": "python", "cases": [{"input": "", "output": "5"}]})
NO_COMMA = json.dumps({"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]})
PROGRAM = "```python\nprint({})\n```"
BOX = "\\boxed{{{}}}"


def verdicts(pairs, **settings):
    with Verifiers(VerifierSettings(workers=1, isolation="none", **settings)) as verify:
        return [(v.verdict, v.reward) for v in verify(pairs)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "form"),
    [(MATH, BOX), (SCIENCE, BOX), (LOGIC, BOX), (CODE, PROGRAM)],
    ids=["math", "sci", "logic", "code"],
)
def test_only_what_stands_after_the_last_thought_counts(problem, form):
    right, wrong = form.format(5), form.format(6)
    responses = [
        f"<think>\n{wrong}\n</think>\n{right}",
        f"\n{wrong}\n</think>\n{right}",
        f"<think>\n{right}\n</think>\n{wrong}",
        f"<think>\n{right}\n</think>\nAs computed.",
        f"<think>\n{right}\n</think>\n",
        f"<think>\n{right}\n",
        f"So <think>\n{right}\n",
        f"<|begin_of_thought|>\n{right}\n<|end_of_thought|>\n",
    ]
    given = verdicts([(problem, response) for response in responses])
    assert [reward for _, reward in given] == [1, 1, 0, 0, 0, 0, 0, 0]
    assert {verdict for verdict, _ in given[3:]} == {"unparsed"}


def test_a_key_lets_an_answer_inside_a_thought_count():
    inside = [
        (MATH, "<think>\\boxed{5}</think>"),
        (MATH, "<think>\\boxed{5}"),
        (MATH, "<think>\\boxed{5}</think>\\boxed{6}"),
    ]
    assert [reward for _, reward in verdicts(inside)] == [0, 0, 0]
    assert [reward for _, reward in verdicts(inside, answer_in_thought=True)] == [1, 1, 0]


def test_a_key_names_other_tags():
    pair = (MATH, "<plan>\\boxed{5}</plan>\\boxed{6}<plan>\\boxed{5}")
    assert verdicts([pair])[0][1] == 1
    assert verdicts([pair], thought_tags=[("<plan>", "</plan>")])[0][1] == 0


@pytest.mark.parametrize("in_thought", [False, True])
def test_instructions_ignore_thoughts(in_thought):
    problem = Problem("i", "general", "?", NO_COMMA, verifier="instructions")
    responses = [
        "<think>Well, hm.</think>No pause",
        "<think>Hm</think>One, two",
        "<think>No pause</think>",
        "<think>No pause",
    ]
    given = verdicts([(problem, response) for response in responses], answer_in_thought=in_thought)
    assert [verdict for verdict, _ in given] == ["correct", "wrong", "wrong", "wrong"]


def test_rows_of_a_file_tell_that_the_prompt_opened_a_thought(tmp_path):
    cut = {"domain": "math", "response": "Perhaps \\boxed{5}", "answer": "5"}
    rows = [
        cut | {"id": "plain"},
        cut | {"id": "opened", "thought_opened": True},
        cut | {"id": "by tag", "thought_opened": "<reasoning>"},
        cut | {"id": "not opened", "thought_opened": False},
        cut | {"id": "null", "thought_opened": None},
        cut | {"id": "closed", "thought_opened": True, "response": "\\boxed{6}</think>\\boxed{5}"},
        cut | {"id": "other tag", "thought_opened": True, "response": "\\boxed{6}</thought>\\boxed{5}"},
        cut | {"id": "repeated", "thought_opened": True, "response": "<think>\\boxed{6}</think>\\boxed{5}"},
        cut | {"id": "bad", "thought_opened": 3},
    ]  # fmt: skip
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    verify_file(file, out, VerifierSettings(workers=1))
    given = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["reward"] for row in given] == [1, 0, 0, 1, 1, 1, 1, 1, 0]
    assert given[1]["verdict"] == "unparsed"
    assert given[-1]["verdict"] == "bad row"
