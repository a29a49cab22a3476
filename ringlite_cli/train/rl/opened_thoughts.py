"""Whether a chat template opens a thought where the response begins, as R1-Distill's does."""

from typing import Any

from ringlite_cli.chat.rendering import prompt_text
from ringlite_cli.thoughts import TAGS, Tags, opened_thought


def opened_by_template(tokenizer: Any, tags: Tags = TAGS) -> str:
    """Return the tag of the thought that the chat template opens where the response begins, or ""."""
    return opened_thought(prompt_text(tokenizer, [{"role": "user", "content": "1 + 1 = ?"}]), tags)
