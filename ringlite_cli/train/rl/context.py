"""Whether prompts and the responses to them fit into the model, asked before RL starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.chat.rendering import prompt_ids, prompt_text
from ringlite_cli.errors import UserError
from ringlite_cli.train.base_model import context_of


def check_context(
    policy: Path,
    tokenizer: Any,
    prompts: Mapping[str, Sequence[Mapping[str, str]]],
    trl: Mapping[str, Any],
    longest: int,
) -> None:
    """Raise UserError where a prompt leaves less than `longest` tokens of the model's context to its responses.

    prompts: problem id -> conversation. trl: GRPOConfig's fields, of which an engine's own bound counts too.
    """
    bounds = {"the model's context": context_of(policy)}
    if trl.get("use_vllm"):
        bounds["trl.vllm_max_model_length"] = trl.get("vllm_max_model_length")
    name, bound = min(((name, n) for name, n in bounds.items() if n), key=lambda each: each[1], default=("", 0))
    if not bound:
        return
    tokens = {key: _tokens(tokenizer, asked, bound - longest) for key, asked in prompts.items()}
    over = {key: n for key, n in tokens.items() if n + longest > bound}
    if not over:
        return
    worst = max(over, key=lambda key: over[key])
    raise UserError(
        f"{len(over)} of {len(prompts)} prompts are too long: {worst!r} has {over[worst]:,} tokens, and with "
        f"{longest:,} of max_completion_length that is beyond {name} of {bound:,}",
        where="trl.max_completion_length",
        hint=(f"lower it to {bound - over[worst]:,}, " if over[worst] < bound else "")
        + "leave such prompts out, or take a model with a longer context",
    )


def _tokens(tokenizer: Any, asked: Sequence[Mapping[str, str]], room: int) -> int:
    """The tokens of a prompt; 0 where it fits for sure: a text has no more tokens than bytes."""
    if len(prompt_text(tokenizer, asked).encode("utf-8", "replace")) <= room:
        return 0
    return len(prompt_ids(tokenizer, asked))
