"""Conversations: `messages` (role, content) and ShareGPT's `conversations` (from, value), as prompts and traces.

A turn of the assistant becomes a problem: the user's turn before it is the prompt, its own text the trace, and what
stands before them the label `context`, a list of {"role", "content"}. A row ends in its last assistant turn, or gives
one problem for each. Thoughts of earlier turns are left out of the context, as chat templates do when they ask.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringlite_cli.data.adapters.fields import BadRow, Raw
from ringlite_cli.data.adapters.thoughts import CLOSE, normal_thoughts, with_thought

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought")


@dataclass(frozen=True)
class Exchange:
    """A prompt, the response to it (None where nobody has answered), and the turns before."""

    prompt: str
    trace: str | None
    context: list[dict[str, str]] = field(default_factory=list)


def is_chat(value: Any) -> bool:
    """Return whether a value is a list of turns, or JSON text of one."""
    turns = _listed(value)
    return bool(turns) and all(isinstance(t, Mapping) and ("role" in t or "from" in t) for t in turns or ())


def exchanges(value: Any, system: str | None = None) -> list[Exchange]:
    """The exchanges of a conversation, in order; the last may wait for its response.

    Raises BadRow for an unknown role, for turns of a tool, and for a conversation that no user's turn begins.
    """
    turns = [_turn(turn) for turn in _listed(value) or ()]
    if system and system.strip() and not any(turn["role"] == "system" for turn in turns):
        turns.insert(0, {"role": "system", "content": system.strip()})
    found: list[Exchange] = []
    before: list[dict[str, str]] = []
    for place, turn in enumerate(turns):
        if turn["role"] == "assistant":
            found.append(_exchange(before, turn["content"]))
            turn = {**turn, "content": turn["content"].rpartition(CLOSE)[2].strip()}
        elif place == len(turns) - 1 and turn["role"] == "user":
            found.append(_exchange([*before, turn], None))
        before.append(turn)
    if not found:
        raise BadRow("a conversation without a turn of the user that could be answered")
    return found


def _exchange(before: Sequence[dict[str, str]], response: str | None) -> Exchange:
    if not before or before[-1]["role"] != "user":
        last = before[-1]["role"] if before else "nothing"
        raise BadRow(f"a turn of the assistant after {last}, not after the user's")
    return Exchange(before[-1]["content"], response, list(before[:-1]))


def _turn(turn: Mapping[str, Any]) -> dict[str, str]:
    name = str(turn.get("role", turn.get("from")))
    role = _ROLES.get(name.lower())
    if role is None or turn.get("tool_calls") or turn.get("function_call"):
        raise BadRow(f"a turn of {name!r} that calls a tool or is one; such turns are not trained on")
    content = content_text(turn.get("content", turn.get("value")), name)
    if role == "assistant":
        thought = next((turn[key] for key in _THOUGHTS if isinstance(turn.get(key), str)), None)
        content = with_thought(thought, content) or ""
    return {"role": role, "content": content}


def content_text(content: Any, name: str) -> str:
    """The text of a turn: a text, or a list of parts that are texts. Raises BadRow for anything else in it."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list | tuple):
        other = next((p for p in content if not (isinstance(p, Mapping) and isinstance(p.get("text"), str))), None)
        if other is None:
            return "\n".join(p["text"] for p in content)
        kind = other.get("type", "part") if isinstance(other, Mapping) else type(other).__name__
        raise BadRow(f"a turn of {name!r} holds a {kind}, not text alone")
    raise BadRow(f"the content of a turn of {name!r} is a {type(content).__name__}, not text")


def _listed(value: Any) -> list[Any] | None:
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return list(value) if isinstance(value, list | tuple) else None


def of_row(row: Raw, value: Any) -> list[Exchange]:
    """The exchanges of a row's conversation, with the system prompt that may stand in a column beside it."""
    system = row.get("system", row.get("system_prompt"))
    return exchanges(value, system if isinstance(system, str) else None)


def normal_trace(value: Any) -> str | None:
    """A trace out of any of its shapes: a text, a list of texts (the first counts), or a conversation (its last)."""
    if is_chat(value):
        return exchanges(value)[-1].trace
    if isinstance(value, list | tuple):
        value = next((each for each in value if each), None)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRow(f"the trace is a {type(value).__name__}, not text")
    return normal_thoughts(value) if value.strip() else None
