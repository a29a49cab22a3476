"""A response with its prompt as a reward model reads it: the same when it is trained and when it scores."""

from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.chat.rendering import conversation_ids
from ringlite_cli.problems import CONTEXT, Problem


def asked_of(problem: Problem) -> list[dict[str, str]]:
    """Return the conversation that a problem asks with: the turns before the prompt, and the prompt."""
    return [*problem.labels.get(CONTEXT, ()), {"role": "user", "content": problem.prompt}]


def judged_ids(tokenizer: Any, asked: Sequence[Mapping[str, str]], response: str) -> list[int]:
    """Return the tokens of a conversation that ends with a response.

    By the tokenizer's chat template; without one, the messages stand line by line, with what the tokenizer adds.
    Raises UserError where the template refuses the conversation.
    """
    messages = [*asked, {"role": "assistant", "content": response}]
    if tokenizer.chat_template:
        return conversation_ids(tokenizer, messages)
    return list(tokenizer("\n".join(message["content"] for message in messages))["input_ids"])
