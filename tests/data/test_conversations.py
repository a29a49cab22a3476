"""Long-CoT rows in the shapes of public sets: conversations, ShareGPT, thoughts in columns or in any tags."""

import json
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.data.adapters import ADAPTERS, BadRow
from ringlite_cli.data.adapters.columns import mapped
from ringlite_cli.data.adapters.thoughts import normal_thoughts, with_thought
from ringlite_cli.data.sources import Loaded, load_sources
from ringlite_cli.errors import UserError
from ringlite_cli.problems import chat_messages
from ringlite_cli.recipe.schema import Source

TRACE = "<think>\nThree and four.\n</think>\n\nSo \\boxed{7}."
MESSAGES = [{"role": "user", "content": "What is 3 + 4?"}, {"role": "assistant", "content": TRACE}]
SHAREGPT = [{"from": "human", "value": "What is 3 + 4?"}, {"from": "gpt", "value": TRACE}]
PARTED = [
    {"role": "user", "content": [{"type": "text", "text": "What is 3 + 4?"}]},
    {"role": "assistant", "reasoning_content": "Three and four.", "content": "So \\boxed{7}."},
]


@pytest.mark.parametrize("chat", [MESSAGES, SHAREGPT, PARTED, json.dumps(MESSAGES)])
@pytest.mark.parametrize("columns", [{"prompt": "c"}, {"prompt": "c", "trace": "c"}])
def test_a_conversation_is_a_prompt_and_a_trace(chat: Any, columns: dict[str, str]) -> None:
    fields = mapped(columns)({"c": chat})
    assert (fields["prompt"], fields["trace"]) == ("What is 3 + 4?", TRACE)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": MESSAGES},
        {"conversations": SHAREGPT, "id": 4},
        {"prompt": "What is 3 + 4?", "response": TRACE},
        {"instruction": "What is 3 + 4?", "input": "", "output": TRACE},
        {"question": "What is 3 + 4?", "reasoning_content": "Three and four.", "content": "So \\boxed{7}."},
    ],
)
def test_the_chat_adapter_needs_no_mapping(row: dict[str, Any]) -> None:
    fields = ADAPTERS["chat"](row)
    assert (fields["prompt"], fields["trace"]) == ("What is 3 + 4?", TRACE)


@pytest.mark.parametrize(
    "given",
    [
        "<|begin_of_thought|>\n\nThree and four.\n\n<|end_of_thought|>\n\n"
        "<|begin_of_solution|>\n\nSo \\boxed{7}.\n\n<|end_of_solution|>",
        "<thinking>Three and four.</thinking>So \\boxed{7}.",
        "Three and four.\n</think>\n\nSo \\boxed{7}.",
        "<think>Three and four.</think><answer>So \\boxed{7}.</answer>",
        "[THINK]Three and four.[/THINK]So \\boxed{7}.",
        "◁think▷Three and four.◁/think▷So \\boxed{7}.",
    ],
)
def test_thoughts_come_in_one_notation(given: str) -> None:
    assert normal_thoughts(given) == TRACE


@pytest.mark.parametrize(
    "text", ["So \\boxed{7}.", TRACE, "We write <thinking> here.", "<think>\nnever closed", " a\n"]
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert normal_thoughts(text) == text


def test_an_empty_thought_is_none() -> None:
    assert normal_thoughts("<think>\n\n</think>\n\nSeven.") == "Seven."
    assert with_thought("", "Seven.") == "Seven."
    assert with_thought("Hm.", TRACE) == TRACE


def test_a_thought_in_a_column_of_its_own() -> None:
    read = mapped({"prompt": "q", "thought": "t", "trace": "r"})
    assert read({"q": "What is 3 + 4?", "t": ["Three and four."], "r": "So \\boxed{7}."})["trace"] == TRACE


THREE_TURNS = [
    {"role": "system", "content": "Be brief."},
    *MESSAGES,
    {"role": "user", "content": "And 3 * 4?"},
    {"role": "assistant", "content": "<think>\nTimes.\n</think>\n\n\\boxed{12}"},
]


def _load(tmp_path: Path, rows: list[dict[str, Any]], **more: Any) -> Loaded:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"path": str(path), "columns": {"prompt": "c"}, "domain": "math"} | more
    return load_sources([Source(**settings)], seed=1, generators={})[0]


def test_of_several_turns_the_last_is_answered_and_the_others_are_asked_with(tmp_path: Path) -> None:
    (row,) = _load(tmp_path, [{"c": THREE_TURNS}]).rows
    assert row.problem.trace == "<think>\nTimes.\n</think>\n\n\\boxed{12}"
    assert chat_messages(row.problem, {"math": "Box it."}) == [
        {"role": "system", "content": "Be brief."},
        MESSAGES[0],
        {"role": "assistant", "content": "So \\boxed{7}."},  # earlier thoughts are not shown
        {"role": "user", "content": "And 3 * 4?\nBox it."},
    ]


def test_all_turns_become_rows(tmp_path: Path) -> None:
    loaded = _load(tmp_path, [{"c": THREE_TURNS}], turns="all")
    assert [row.problem.prompt for row in loaded.rows] == ["What is 3 + 4?", "And 3 * 4?"]
    assert [row.problem.id for row in loaded.rows] == ["rows.jsonl:0", "rows.jsonl:0:1"]
    assert [row.problem.index for row in loaded.rows] == [0, 0]


def test_a_system_prompt_beside_the_conversation() -> None:
    fields = mapped({"prompt": "c"})({"c": SHAREGPT, "system": "Think."})
    assert fields["labels"]["context"] == [{"role": "system", "content": "Think."}]


def test_a_prompt_that_waits_for_its_response() -> None:
    fields = mapped({"prompt": "c", "answer": "reward_model.ground_truth"})(
        {"c": MESSAGES[:1], "reward_model": {"style": "rule", "ground_truth": "7"}}
    )
    assert (fields["prompt"], fields["trace"], fields["answer"]) == ("What is 3 + 4?", None, "7")


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        ([*MESSAGES, {"role": "tool", "content": "7"}], "'tool'"),
        ([MESSAGES[0], {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]}], "calls a tool"),
        ([MESSAGES[0], {"from": "observation", "value": "7"}, MESSAGES[1]], "'observation'"),
        ([MESSAGES[1]], "after nothing"),
        ([{"role": "system", "content": "Be brief."}], "without a turn of the user"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, MESSAGES[1]],
            "a image_url, not text",
        ),
    ],
)
def test_turns_that_can_not_be_trained_on_are_named(turns: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(BadRow, match=says):
        mapped({"prompt": "c"})({"c": turns})


@pytest.mark.parametrize(
    ("column", "row", "prompt"),
    [
        ("a.b", {"a": {"b": "nested"}}, "nested"),
        ("a.b", {"a": '{"b": "nested"}'}, "nested"),
        ("a.1.c", {"a": [{"c": "no"}, {"c": "second"}]}, "second"),
        ("a.b", {"a.b": "whole name", "a": {"b": "no"}}, "whole name"),
        ("{body} {question}", {"body": "Tom has 3.", "question": "How many?"}, "Tom has 3. How many?"),
        ("{instruction}\n\n{input}", {"instruction": "Add.", "input": ""}, "Add."),
        ("{a.b}: {n}", {"a": {"b": "Item"}, "n": 3}, "Item: 3"),
        ("{q}?", {"{q}?": "a column of that name"}, "a column of that name"),
    ],
)
def test_columns_may_be_paths_or_joined(column: str, row: dict[str, Any], prompt: str) -> None:
    assert mapped({"prompt": column})(row)["prompt"] == prompt


@pytest.mark.parametrize(
    ("column", "row", "says"),
    [
        ("a.b", {"a": {"c": "x"}}, "no column 'a.b'"),
        ("a.b", {"a": {"b": None}}, "'a.b' is empty"),
        ("{a} {b}", {"a": "", "b": None}, "is empty"),
        ("Summarise this:\n{a}", {"a": " \n "}, "is empty"),
        ("{a} {b}", {"c": "x"}, "no column"),
        ("{a} {b}", {"a": ["x"], "b": "y"}, "can't be joined"),
    ],
)
def test_what_columns_can_not_be(column: str, row: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRow, match=says):
        mapped({"prompt": column})(row)


def test_labels_and_answers_may_be_missing_in_some_rows_but_not_in_all(tmp_path: Path) -> None:
    rows = [{"q": f"What is {n} + 4?", "a": n + 4} | ({"level": "easy"} if n % 2 else {}) for n in range(6)]
    columns = {"prompt": "q", "answer": "a", "level": "level"}
    loaded = _load(tmp_path, rows, columns=columns)
    assert [row.problem.labels.get("level") for row in loaded.rows] == [None, "easy"] * 3
    with pytest.raises(UserError, match="no row has the column 'levle', mapped to 'level'; did you mean 'level'"):
        _load(tmp_path, rows, columns=columns | {"level": "levle"})


@pytest.mark.parametrize(
    ("answer", "text"),
    [([4, 2], "[4, 2]"), (["121", "253"], "[121, 253]"), ([2, 2], "[2, 2]"), (["x"], "x"), ([], None), (7.0, "7")],
)
def test_a_list_is_one_answer(answer: Any, text: str | None) -> None:
    assert mapped({"prompt": "q", "answer": "a"})({"q": "Which?", "a": answer})["answer"] == text
