"""Whether prompts and the responses to them fit into the model, asked before RL starts."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.chat.rendering import prompt_ids, prompt_text
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.runs.ranks import is_follower
from ringlite_cli.train.base_model import context_of
from ringlite_cli.train.rl.prompts import check_mix

log = logging.getLogger(__name__)
_SHOWN = 3


def with_room(
    policy: Path,
    tokenizer: Any,
    problems: Sequence[Problem],
    asked: Callable[[Problem], Sequence[Mapping[str, str]]],
    settings: RlSettings,
) -> list[Problem]:
    """Return the problems whose prompts leave `max_completion_length` tokens of the context to a response.

    asked: makes a problem's conversation. The others are left out, with a warning that counts them. Raises UserError
    where they are more than `max_left_out` of all, or all.
    """
    bound = _bound(policy, settings.trl)
    longest = settings.max_completion_length
    if bound is None:
        return list(problems)
    name, size = bound
    lengths = {problem.id: _tokens(tokenizer, asked(problem), size - longest) for problem in problems}
    over = {key: tokens for key, tokens in lengths.items() if tokens + longest > size}
    if not over:
        return list(problems)
    worst = max(over, key=lambda key: over[key])
    what = (
        f"{len(over)} of {len(problems)} prompts are too long: {worst!r} has {over[worst]:,} tokens, and with "
        f"{longest:,} of max_completion_length that is beyond {name} of {size:,}"
    )
    if len(over) > settings.max_left_out * len(problems) or len(over) == len(problems):
        raise UserError(
            what,
            where="trl.max_completion_length",
            hint=(f"lower it to {size - over[worst]:,}, " if over[worst] < size else "")
            + "take a model with a longer context, or raise max_left_out",
        )
    if not is_follower():
        more = f" and {len(over) - _SHOWN:,} more" if len(over) > _SHOWN else ""
        log.warning("%s; left out: %s%s", what, ", ".join(list(over)[:_SHOWN]), more)
    return [problem for problem in problems if problem.id not in over]


def still_mixed(fitting: list[Problem], problems: Sequence[Problem], mix: Mapping[str, float] | None) -> list[Problem]:
    """Return `fitting`, what `with_room` left of the problems. Raises UserError where a part of the mix has none."""
    check_mix(problems, mix)
    for part in mix or ():
        try:
            check_mix(fitting, {part: 1.0})
        except UserError:
            raise UserError(
                f"all prompts of {part!r} are too long and were left out",
                where="domain_mix",
                hint="lower trl.max_completion_length, take a model with a longer context, or leave it out of the mix",
            ) from None
    return fitting


def _bound(policy: Path, trl: Mapping[str, Any]) -> tuple[str, int] | None:
    """What bounds a prompt and its response, and the tokens that it has; None for nothing."""
    bounds = {"the model's context": context_of(policy)}
    if trl.get("use_vllm"):
        bounds["trl.vllm_max_model_length"] = trl.get("vllm_max_model_length")
    return min(((name, n) for name, n in bounds.items() if n), key=lambda each: each[1], default=None)


def _tokens(tokenizer: Any, asked: Sequence[Mapping[str, str]], room: int) -> int:
    """Return the tokens of a prompt; 0 where it fits for sure: a text has no more tokens than bytes."""
    if len(prompt_text(tokenizer, asked).encode("utf-8", "replace")) <= room:
        return 0
    return len(prompt_ids(tokenizer, asked))
