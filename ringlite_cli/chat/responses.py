"""Responses as text, in which the reader can still tell a thought from the answer."""

from collections.abc import Collection, Sequence
from typing import Any

from ringlite_cli.chat.rendering import decode, special_ids
from ringlite_cli.thoughts import TAGS, Tags


def prompt_end(tokenizer: Any, prompt: Sequence[int], tokens: int = 32) -> str:
    """Return the text of the last tokens of a prompt, special tokens included."""
    return decode(tokenizer, prompt[-tokens:])


def response_texts(tokenizer: Any, responses: Sequence[Sequence[int]], tags: Tags = TAGS) -> list[str]:
    """Return the texts of responses without special tokens, but with the tags of thoughts, special or not.

    Without them, nobody could tell a thought from the answer.
    """
    special, kept = special_ids(tokenizer), special_tags(tokenizer, tags)
    if not kept:
        return _decoded(tokenizer, [list(ids) for ids in responses], skip=True)
    shown = [[i for i in ids if i not in special or i in kept] for ids in responses]
    return _decoded(tokenizer, shown, skip=False)


def _decoded(tokenizer: Any, responses: list[list[int]], *, skip: bool) -> list[str]:
    """Texts as they were written: some tokenizers would take the spaces before punctuation out."""
    return list(tokenizer.batch_decode(responses, skip_special_tokens=skip, clean_up_tokenization_spaces=False))


def without_end_token(ids: Sequence[int], ends: Collection[int]) -> Sequence[int]:
    """Return a response's tokens without the one that ended it: models name ends that decoding takes for text."""
    return ids[:-1] if ids and ids[-1] in ends else ids


def special_tags(tokenizer: Any, tags: Tags = TAGS) -> set[int]:
    """Return the special tokens that are tags of thoughts; without any, a response's plain text has all tags."""
    return {i for i, token in special_ids(tokenizer).items() if any(token in pair for pair in tags)}
