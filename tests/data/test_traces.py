"""Traces straight from a file: the shapes that public Long-CoT sets have, by rows of our own."""

import json

import pytest

from ringlite_cli.data.traces import load_traces
from ringlite_cli.errors import UserError
from ringlite_cli.problems import CONTEXT
from ringlite_cli.recipe.schema import TraceSource

QUESTION = "A shelf holds 7 boxes of 11 screws and 2 loose ones. How many screws?"
TRACE = "<think>\n7 times 11 is 77. Wait, 2 more.\n</think>\n\nSo \\boxed{79}."
OTHER_TAGS = "<|begin_of_thought|>\n\n7 times 11 is 77. Wait, 2 more.\n\n<|end_of_thought|>\n\n" \
             "<|begin_of_solution|>\n\nSo \\boxed{79}.\n\n<|end_of_solution|>"  # fmt: skip
THOUGHT = "7 times 11 is 77. Wait, 2 more."
SHAPES = {
    "OpenThoughts": {
        "system": "Think.",
        "conversations": [{"from": "user", "value": QUESTION}, {"from": "assistant", "value": OTHER_TAGS}],
    },
    "OpenThoughts3": {"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": TRACE}]},
    "OpenR1": {
        "problem": QUESTION,
        "solution": "It is 79.",
        "answer": "79",
        "generations": [TRACE, "<think>\nNo.\n</think>\n\n80"],
        "messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": TRACE}],
    },
    "LIMO": {"question": QUESTION, "solution": TRACE, "answer": "79"},
    "s1K": {
        "question": QUESTION,
        "solution": "79",
        "thinking_trajectories": [THOUGHT],
        "attempt": "So \\boxed{79}.",
        "metadata": "{}",
    },
    "s1K-1.1": {
        "question": QUESTION,
        "solution": "79",
        "gemini_thinking_trajectory": "No.",
        "deepseek_thinking_trajectory": THOUGHT,
        "deepseek_attempt": "So \\boxed{79}.",
    },
    "reasoning_content": {"prompt": QUESTION, "reasoning_content": THOUGHT, "content": "So \\boxed{79}."},
    "prompt and trace": {"prompt": QUESTION, "trace": TRACE, "domain": "math"},
}


def load(tmp_path, rows, **keys):
    file = tmp_path / "traces.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_traces(TraceSource(path=str(file), **keys), 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_public_shape_is_read_without_a_word_of_configuration(tmp_path, shape):
    (problem,) = load(tmp_path, [SHAPES[shape]]).problems
    assert problem.prompt == QUESTION
    assert problem.trace == TRACE
    assert problem.labels["verified_by"] == "none"
    assert problem.labels.get(CONTEXT) == (
        [{"role": "system", "content": "Think."}] if shape == "OpenThoughts" else None
    )


def test_the_last_answer_or_all_of_a_conversation_are_trained(tmp_path):
    talk = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "<think>\nEasy.\n</think>\n\n1"},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "2"},
    ]
    (last,) = load(tmp_path, [{"messages": talk}]).problems
    first, second = load(tmp_path, [{"messages": talk}], turns="all").problems
    assert (last.prompt, last.trace, first.prompt, second.trace) == ("Two?", "2", "One?", "2")
    assert first.trace == "<think>\nEasy.\n</think>\n\n1"
    assert last.labels[CONTEXT] == [talk[0], {"role": "assistant", "content": "1"}]  # earlier thoughts are not shown


def test_rows_that_cannot_be_read_are_counted_and_named(tmp_path):
    tools = {"messages": [{"role": "user", "content": "Sum?"}, {"role": "tool", "content": "3"}]}
    found = load(tmp_path, [SHAPES["LIMO"]] * 9 + [tools, {"question": QUESTION}])
    assert found.account() == {"rows": 11, "rows_unreadable": 1, "rows_without_trace": 1}
    assert "row 9: a turn of 'tool'" in found.why
    with pytest.raises(UserError, match="a turn of 'tool' that calls a tool or is one"):
        load(tmp_path, [tools])


def test_other_columns_are_mapped_and_a_domain_given(tmp_path):
    row = {"task": QUESTION, "r1": TRACE}
    (problem,) = load(tmp_path, [row], columns={"prompt": "task", "trace": "r1"}, domain="math").problems
    assert (problem.domain, problem.prompt, problem.trace) == ("math", QUESTION, TRACE)


SYSTEM = {"role": "system", "content": "Be brief."}


def test_what_stands_beside_a_prompt_is_asked_with_it(tmp_path):
    row = {"system_prompt": "Be brief. ", "question": QUESTION, "response": TRACE, "history": [["One?", TRACE]]}
    (problem,) = load(tmp_path, [row]).problems
    earlier = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "So \\boxed{79}."}]
    assert (problem.prompt, problem.trace) == (QUESTION, TRACE)
    assert problem.labels[CONTEXT] == [SYSTEM, *earlier]
    assert "no list of pairs" in load(tmp_path, [row] * 9 + [row | {"history": [["One?"]]}]).why


def test_a_completion_may_be_a_chat_that_goes_on_behind_its_prompt(tmp_path):
    """TRL's conversational rows: all that stands under `prompt` is asked, and never trained."""
    answered = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1"}]
    asked = [SYSTEM, *answered, {"role": "user", "content": "Two?"}]
    more = [{"role": "assistant", "content": "2"}, {"role": "user", "content": "Three?"}]
    row = {"prompt": asked, "completion": [*more, {"role": "assistant", "content": "3"}]}
    assert [(p.prompt, p.trace) for p in load(tmp_path, [row], turns="all").problems] == [
        ("Two?", "2"),
        ("Three?", "3"),
    ]
    (last,) = load(tmp_path, [row]).problems
    assert last.labels[CONTEXT] == [*asked, more[0]]
    (text,) = load(tmp_path, [{"prompt": "One?", "completion": [answered[1]]}]).problems
    assert (text.prompt, text.trace) == ("One?", "1")


@pytest.mark.parametrize("flag", [{"weight": 0}, {"train": False}, {"loss": False}, {"training": False}])
def test_turns_that_are_not_to_be_trained_are_context_alone(tmp_path, flag):
    talk = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "7", **flag},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "1", "weight": 1},
    ]
    (right,) = load(tmp_path, [{"messages": talk}], turns="all").problems
    assert (right.prompt, right.trace) == ("Sure?", "1")
    assert right.labels[CONTEXT] == [talk[0], {"role": "assistant", "content": "7"}]
    none = load(tmp_path, [{"messages": talk[:2]}, {"messages": talk}])
    assert (len(none.problems), none.account()["rows_without_trace"]) == (1, 1)
    half = load(tmp_path, [{"messages": talk}] * 9 + [{"messages": [talk[0], {**talk[3], "weight": 0.5}]}])
    assert "weight: 0.5" in half.why


def test_a_response_keeps_its_white_space_in_every_shape(tmp_path):
    code = "    return x\n"
    talk = [{"role": "user", "content": "Go on:"}, {"role": "assistant", "content": code}]
    rows = [{"messages": talk}, {"prompt": "Go on:", "response": code}, {"prompt": talk[:1], "completion": talk[1:]}]
    assert [p.trace for p in load(tmp_path, rows[:1]).problems + load(tmp_path, rows[1:]).problems] == [code] * 3
