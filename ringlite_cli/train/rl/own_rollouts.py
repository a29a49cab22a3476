"""Responses by a rollout_func of the user's own, checked before TRL takes them."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from ringlite_cli.errors import UserError

_NEEDED = ("prompt_ids", "completion_ids", "logprobs")


def checked_rollouts(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return `draw`, which raises UserError where what it returns is no rollout of the prompts that it was given."""

    @wraps(draw)
    def checked(prompts: Sequence[Any], trainer: Any) -> Any:
        found = draw(prompts, trainer)
        if fault := _fault(found, len(prompts)):
            hint = "it returns token ids of each prompt and each response, and log-probabilities of each token or None"
            raise UserError(fault, where="rollout_func", hint=hint)
        return found

    return checked


def _fault(found: Any, prompts: int) -> str:
    """Return what is wrong with a function's answer to so many prompts; "" where it is right."""
    if not isinstance(found, Mapping):
        return (
            f"it returns {type(found).__name__}, and a mapping with prompt_ids, completion_ids and logprobs is needed"
        )
    if missing := [name for name in _NEEDED if name not in found]:
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing in what it returns"
    for name in _NEEDED:
        if not (name == "logprobs" and found[name] is None) and len(found[name]) != prompts:
            return f"{len(found[name])} {name} for {prompts} prompts"
    for place, tokens in enumerate(found["completion_ids"]):
        if not len(tokens):
            return f"response {place} has no token, not even the one that ends it"
        if found["logprobs"] is not None and len(found["logprobs"][place]) != len(tokens):
            return f"response {place} has {len(tokens)} tokens and {len(found['logprobs'][place])} logprobs"
    return ""
