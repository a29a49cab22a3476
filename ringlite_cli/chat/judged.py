"""A response with its prompt as a reward model reads it: the same when it is trained and when it scores."""

from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.chat.rendering import conversation_ids
from ringlite_cli.errors import UserError
from ringlite_cli.problems import CONTEXT, Problem

TEMPLATE_HINT = (
    "save a chat template with the reward model that renders prompt and response, or take it out: then they stand line "
    "by line"
)


def asked_of(problem: Problem) -> list[dict[str, str]]:
    """Return the conversation that a problem asks with: the turns before the prompt, and the prompt."""
    return [*problem.labels.get(CONTEXT, ()), {"role": "user", "content": problem.prompt}]


def template_fault(tokenizer: Any) -> str:
    """Return why a reward model cannot read responses by this tokenizer's chat template; '' where it can."""
    asked = [{"role": "user", "content": "What is it?"}]
    try:
        one, other = (judged_ids(tokenizer, asked, response) for response in ("Yes", "No, it is not."))
    except UserError as error:
        return error.what
    return "the chat template leaves the response out, so that all would have one score" if one == other else ""


def judged_ids(tokenizer: Any, asked: Sequence[Mapping[str, str]], response: str) -> list[int]:
    """Return the tokens of a conversation that ends with a response.

    By the tokenizer's chat template; without one, the messages stand line by line, with what the tokenizer adds.
    Raises UserError where the template refuses the conversation.
    """
    messages = [*asked, {"role": "assistant", "content": response}]
    if tokenizer.chat_template:
        return conversation_ids(tokenizer, messages)
    return list(tokenizer("\n".join(message["content"] for message in messages))["input_ids"])
