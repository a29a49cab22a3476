"""Conversations and prompt/response rows without a mapping: `messages`, ShareGPT's `conversations`, Alpaca's columns.

Thoughts may stand in the response, in any tags, or in a column of their own (reasoning_content, reasoning, thinking).
"""

from ringlite_cli.data.adapters.columns import Columns
from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw

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
    return Columns(columns).every(row)


def _named(row: Raw, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if row.get(name)), None)
