"""Conversations: `messages` (role, content) and ShareGPT's `conversations` (from, value), as prompts and traces.

A turn of the assistant becomes a problem: the user's turn before it is the prompt, its own text the trace, and what
stands before them the label `context`, a list of {"role", "content"}. A row ends in its last assistant turn, or gives
one problem for each. Thoughts of earlier turns are left out of the context, as chat templates do when they ask.
A turn that says that it is not trained (weight: 0, or train, training or loss: false) stands in the context alone.
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
_FLAGS = ("weight", "train", "training", "loss")
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

    Where no turn is to be trained, there is the last one, without its response. Raises BadRow for an unknown role, for
    turns of a tool, and for a conversation that no user's turn begins.
    """
    given = list(_listed(value) or ())
    turns, trained = [_turn(turn) for turn in given], [_is_trained(turn) for turn in given]
    if system and system.strip() and not any(turn["role"] == "system" for turn in turns):
        turns, trained = [{"role": "system", "content": system.strip()}, *turns], [True, *trained]
    found: list[Exchange] = []
    untrained: list[Exchange] = []
    before: list[dict[str, str]] = []
    for place, (turn, is_trained) in enumerate(zip(turns, trained, strict=True)):
        if turn["role"] == "assistant":
            if is_trained:
                found.append(_exchange(before, turn["content"]))
            else:
                untrained.append(_exchange(before, None))
            turn = {**turn, "content": without_thought(turn["content"])}
        elif place == len(turns) - 1 and turn["role"] == "user":
            found.append(_exchange([*before, turn], None))
        before.append(turn)
    if not found and not untrained:
        raise BadRow("a conversation without a turn of the user that could be answered")
    return found or untrained[-1:]


def continued(prompt: Any, response: Any) -> list[dict[str, Any]]:
    """Return a prompt and a chat that goes on behind it as one conversation, of which the prompt is not trained."""
    asked = _listed(prompt) if is_chat(prompt) else [{"role": "user", "content": prompt}]
    return [*({**turn, "weight": 0} for turn in asked or ()), *(_listed(response) or ())]


def _is_trained(turn: Mapping[str, Any]) -> bool:
    for name in _FLAGS:
        flag = turn.get(name)
        if flag is not None and flag not in (0, 1):  # False and True among them
            raise BadRow(f"a turn with {name}: {flag!r}; a turn is trained (1) or not (0)")
        if flag is not None and not flag:
            return False
    return True


def without_thought(response: str) -> str:
    """Return an earlier response as it stands in the context: what follows its thought."""
    return response.rpartition(CLOSE)[2].strip() if CLOSE in response else response


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
