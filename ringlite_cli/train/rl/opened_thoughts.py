"""Whether a chat template opens a thought where the response begins, as R1-Distill's does."""

from collections.abc import Mapping
from typing import Any

from ringlite_cli.thoughts import TAGS, Tags, opened_thought


def opened_by_template(tokenizer: Any, options: Mapping[str, Any], tags: Tags = TAGS) -> str:
    """Return the tag of the thought that the chat template opens where the response begins, or "".

    options: trl.chat_template_kwargs, which may switch thinking off. Also "" where the closing tag is a special token:
    TRL leaves those out of a response, so that nobody could see the thought end.
    """
    talk = [{"role": "user", "content": "1 + 1 = ?"}]
    text = tokenizer.apply_chat_template(talk, add_generation_prompt=True, tokenize=False, **options)
    opened = opened_thought(str(text), tags)
    closing = dict(tags).get(opened)
    return "" if closing in tokenizer.all_special_tokens else opened
