"""A conversation as the prompt that asks for a response: its text by the chat template, and its tokens.

How this differs from a bare `apply_chat_template`:
1. A special token that is spelled out in a message is text. Without that, "<|im_end|>" in a problem would end the
   user's turn.
2. A template that refuses or drops a system prompt gets it at the head of the first turn of the user.
3. A template that wants a message's content in parts (as those of vision models) gets it so.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.thoughts import TAGS

Messages = Sequence[Mapping[str, str]]

_THOUGHT_TAGS = frozenset(tag for pair in TAGS for tag in pair)


def special_ids(tokenizer: Any) -> dict[int, str]:
    """Return id -> text of the tokens that decoding may leave out: those named (end, pad ...), and those flagged."""
    named = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    return named | {i: str(token) for i, token in tokenizer.added_tokens_decoder.items() if token.special}


def spelled_specials(tokenizer: Any, text: str) -> list[str]:
    """Return the special tokens that are spelled out in a text, each once."""
    return [token for token in set(special_ids(tokenizer).values()) if len(token) > 1 and token in text]


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of a text in which special tokens are text too. Nothing is added to it."""
    if not text:
        return []
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text of tokens, special ones included, as it is."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def prompt_text(tokenizer: Any, messages: Messages) -> str:
    """Return a conversation as the chat template renders it, up to where the response begins.

    Raises UserError where the template refuses the conversation, or leaves the user's words out.
    """
    return _rendered(tokenizer, messages)[0]


def prompt_ids(tokenizer: Any, messages: Messages) -> list[int]:
    """Return the tokens of `prompt_text`: what RL, select, eval and SFT ask with. Raises as it does."""
    return prompt(tokenizer, messages)[1]


def prompt(tokenizer: Any, messages: Messages) -> tuple[str, list[int]]:
    """Return the text of a prompt and its tokens. Raises as `prompt_text` does."""
    text, marked, mark = _rendered(tokenizer, messages)
    if marked == text:
        return text, _ids(tokenizer, text)
    return text, _ids_with_text(tokenizer, marked, mark)


def conversation_ids(tokenizer: Any, messages: Messages) -> list[int]:
    """Return the tokens of a conversation that ends with a response, as a reward model reads it.

    Special tokens that a message spells out are text: a response can't end its turn and write the next one itself.
    Raises UserError where the template refuses the conversation, or leaves the user's words out.
    """
    text, marked, mark = _rendered(tokenizer, messages, answered=True)
    return _ids(tokenizer, text) if marked == text else _ids_with_text(tokenizer, marked, mark)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _rendered(tokenizer: Any, messages: Messages, *, answered: bool = False) -> tuple[str, str, str]:
    """The text; the same with a mark in each special token that the messages spell out; the mark.

    answered: the last message is a response, so that no turn is opened behind it.
    """
    whole = "".join(message["content"] for message in messages)
    mark = next(c for c in map(chr, range(0xE000, 0xF8FF)) if c not in whole)
    text = _render(tokenizer, _marked(tokenizer, messages, mark), answered)
    return text.replace(mark, ""), text, mark


def _marked(tokenizer: Any, messages: Messages, mark: str) -> Messages:
    found = spelled_specials(tokenizer, "\n".join(message["content"] for message in messages))
    if not found:
        return messages
    made = []
    for message in messages:
        own = [t for t in found if not (message["role"] == "assistant" and t in _THOUGHT_TAGS)]
        pattern = "|".join(re.escape(token) for token in sorted(own, key=len, reverse=True)) or "(?!)"
        content = re.sub(pattern, lambda m: m[0][0] + mark + m[0][1:], message["content"])
        made.append({**message, "content": content})
    return made


def _render(tokenizer: Any, messages: Messages, answered: bool) -> str:
    """The text of a conversation, tried as it is, in parts, and with the system prompt in the user's turn."""
    refusal = ""
    nothing = {} if tokenizer.bos_token else {"bos_token": ""}  # a template may write a start that the tokenizer lacks
    for form in (_as_texts, _as_parts, _without_system):
        asked = form(messages)
        try:
            text = tokenizer.apply_chat_template(asked, add_generation_prompt=not answered, tokenize=False, **nothing)
        except Exception as error:  # a template may refuse a conversation by raising anything
            refusal = refusal or str(error).strip().split("\n")[0][:200] or type(error).__name__
            continue
        if _holds(str(text), messages):
            return str(text)
    said = f"refuses a conversation ({refusal})" if refusal else "leaves out what the user asks"
    raise UserError(
        f"the chat template {said}", where="chat_template", hint="give another `chat_template` at the recipe's head"
    )


def _as_texts(messages: Messages) -> list[dict[str, Any]]:
    return [dict(message) for message in messages]


def _as_parts(messages: Messages) -> list[dict[str, Any]]:
    return [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]


def _without_system(messages: Messages) -> list[dict[str, Any]]:
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    made = [dict(message) for message in messages if message["role"] != "system"]
    first = next((message for message in made if message["role"] == "user"), None)
    if first is not None and system:
        first["content"] = f"{system}\n\n{first['content']}"
    return made


def _holds(text: str, messages: Messages) -> bool:
    """Return whether all that the user and the system prompt say stands in the text; templates may strip it."""
    return all(m["content"].strip() in text for m in messages if m["role"] in ("user", "system"))


def _ids_with_text(tokenizer: Any, marked: str, mark: str) -> list[int]:
    """The tokens of a prompt in which the special tokens that hold a mark are text.

    The mark keeps them from being read as tokens. The stretch between two real special tokens is then encoded without
    its marks, if it has the same tokens alone as in its place; else the marks' own tokens are taken out.
    """
    if not tokenizer.is_fast:
        return _ids_of_stretches(tokenizer, marked, mark)
    encoded = tokenizer(marked, add_special_tokens=False, return_offsets_mapping=True)
    ids, spans = list(encoded["input_ids"]), list(encoded["offset_mapping"])
    special = special_ids(tokenizer)
    made: list[int] = []
    start = 0
    for end in range(len(ids) + 1):
        if end < len(ids) and ids[end] not in special:
            continue
        if start < end:
            made += _stretch(tokenizer, marked, mark, ids[start:end], spans[start:end])
        made += ids[end : end + 1]
        start = end + 1
    return made


def _ids_of_stretches(tokenizer: Any, marked: str, mark: str) -> list[int]:
    """The same by a tokenizer in Python, which does not tell where its tokens stand: each stretch is encoded alone."""
    own = {token: i for i, token in special_ids(tokenizer).items()}
    made: list[int] = []
    for part in re.split(f"({'|'.join(re.escape(token) for token in sorted(own, key=len, reverse=True))})", marked):
        if part in own:
            made.append(own[part])
        else:
            made += encode_text(tokenizer, part.replace(mark, "")) if mark in part else _ids(tokenizer, part)
    return made


def _stretch(
    tokenizer: Any, marked: str, mark: str, ids: Sequence[int], spans: Sequence[tuple[int, int]]
) -> Sequence[int]:
    text = marked[spans[0][0] : spans[-1][1]]
    if mark not in text:
        return ids
    if _ids(tokenizer, text) == list(ids):
        return encode_text(tokenizer, text.replace(mark, ""))
    return [i for i, (start, end) in zip(ids, spans, strict=True) if marked[start:end] != mark]
