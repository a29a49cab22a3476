"""Conversations and prompt/response rows without a mapping: `messages`, ShareGPT's `conversations`, Alpaca's columns.

Thoughts may stand in the response, in any tags, or in a column of their own (reasoning_content, reasoning, thinking).
A prompt that is text has before it what stands in the columns system (or system_prompt) and history.
"""

from typing import Any

from ringlite_cli.data.adapters.chats import continued, is_chat, without_thought
from ringlite_cli.data.adapters.columns import Columns
from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw
from ringlite_cli.problems import CONTEXT

DOMAIN = "general"

_CHATS = ("messages", "conversations", "conversation", "dialogue")
_PROMPTS = ("prompt", "instruction", "question", "problem", "query")
_RESPONSES = (
    "response", "output", "completion", "content", "generation", "generations", "trace",
    "deepseek_attempt", "attempt", "deepseek_solution", "solution",
)  # fmt: skip
_THOUGHTS = (
    "reasoning_content", "reasoning", "thinking", "thought",
    "deepseek_thinking_trajectory", "thinking_trajectories", "deepseek_reasoning",
)  # fmt: skip
_ANSWERS = ("answer", "final_answer", "ground_truth")


def read(row: Raw) -> Fields:
    return every(row)[-1]


def every(row: Raw) -> list[Fields]:
    """All exchanges of a row."""
    chat = _named(row, _CHATS)
    prompt = chat or _named(row, _PROMPTS)
    if prompt is None:
        raise BadRow(f"neither a conversation nor a prompt; it has {', '.join(map(repr, row)) or 'none'}")
    response = _named(row, _RESPONSES)
    if not chat and response and is_chat(row[response]):
        return every({**row, _CHATS[0]: continued(row[prompt], row[response])})
    columns = {"prompt": prompt}
    if prompt == "instruction" and row.get("input"):
        columns["prompt"] = "{instruction}\n\n{input}"
    names: tuple[str, ...]
    for ours, names in (("trace", _RESPONSES), ("thought", _THOUGHTS)):
        if not chat and (name := _named(row, names)):
            columns[ours] = name
    for ours, names in (("answer", _ANSWERS), ("domain", ("domain",)), ("verifier", ("verifier",))):
        if name := _named(row, names):
            columns[ours] = name
    found = Columns(columns).every(row)
    before = [] if is_chat(row[prompt]) else _before(row)
    return [{**each, "labels": {**each.get("labels", {}), CONTEXT: before}} for each in found] if before else found


def _before(row: Raw) -> list[dict[str, str]]:
    """The turns before a row's prompt. Raises BadRow for a history that is no list of questions with answers."""
    system, history = row.get("system", row.get("system_prompt")), row.get("history")
    turns = [{"role": "system", "content": system.strip()}] if isinstance(system, str) and system.strip() else []
    for pair in history if isinstance(history, list | tuple) else ():
        if not _is_exchange(pair):
            raise BadRow("the history is no list of pairs, a question and its answer each")
        turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": without_thought(pair[1])}]
    return turns


def _is_exchange(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair)


def _named(row: Raw, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if row.get(name)), None)
