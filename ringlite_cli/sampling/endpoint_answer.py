"""One answer of an OpenAI-compatible server, read as different servers write it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_GIVEN_UP = ("abort", "error")
"""What a server calls the end of a response that it did not write to its end."""
_CUT = ("length", "max_tokens", "model_length")
"""What servers call the end of a response that reached its limit of tokens."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as a server gave it.

    ids: its tokens, where the server shows them. tokens, prompt_tokens: the server's own counts; None where it gives
    none. truncated: the length limit cut it. filtered: the server withheld or cut it for what it says.
    """

    text: str
    ids: tuple[int, ...]
    tokens: int | None
    prompt_tokens: int | None
    truncated: bool
    filtered: bool


def busy_fault(answer: Any) -> str:
    """Return why an answer is none for now, so that asking again may help; "" for any other answer."""
    if not isinstance(answer, dict):
        return f"the answer is a {type(answer).__name__}"
    if answer.get("error") and not answer.get("choices"):  # of proxies, with status 200
        return f"the answer is an error: {str(answer['error'])[:200]}"
    finish = _choice(answer).get("finish_reason")
    return f"the server gave the response up: finish_reason is {finish!r}" if finish in _GIVEN_UP else ""


def _choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one choice of an answer; an empty one where it has none with a message."""
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) and isinstance(choice.get("message"), dict) else {}


def read_answer(answer: Mapping[str, Any], max_tokens: int) -> Answer | None:
    """Return the response of an answer; None where it has no choice. max_tokens: the limit that it was asked with.

    A server that does not say why a response ended has cut it where it has as many tokens as it may have.
    """
    choice = _choice(answer)
    if not choice:
        return None
    usage = answer.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    ids = tuple(choice.get("token_ids") or ())
    tokens = _count(counts.get("completion_tokens"))
    finish = choice.get("finish_reason")
    cut = finish in _CUT or (finish is None and (len(ids) or tokens or 0) >= max_tokens)
    return Answer(
        text=_text(choice["message"], cut),
        ids=ids,
        tokens=tokens,
        prompt_tokens=_count(counts.get("prompt_tokens")),
        truncated=cut,
        filtered=finish == "content_filter",
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _text(message: Mapping[str, Any], cut: bool) -> str:
    """Return the response; a thought that the server has taken apart goes back between its marks.

    A thought that the limit cut, before any answer, stays open.
    """
    content = _words(message.get("content"), "text")
    thought = _words(message.get("reasoning_content") or message.get("reasoning"), "text")
    thought = thought or _words(message.get("content"), "thinking")
    text = content
    if thought:
        text = f"<think>\n{thought.strip()}" + ("" if cut and not content else f"\n</think>\n\n{content}")
    return text.encode("utf-8", "replace").decode()  # half a character, where the length limit cut it


def _words(value: Any, kind: str) -> str:
    """Return a text that is given whole, or in parts of which those of one kind are taken."""
    if isinstance(value, list):
        return "".join(_words(part.get(kind), "text") for part in value if isinstance(part, dict))
    return "" if value is None or kind == "thinking" else str(value)
