"""The batch arithmetic: from prompts, group size and token budget to what TRL's trainer loop wants. No torch."""

from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from ringlite_cli.errors import UserError

Scope = Literal["rank", "global"]


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """One optimizer step, resolved. Counts are per step unless they say otherwise.

    rows: packed rows of one rank, which are its micro-batches. budget_step: tokens trained by all ranks together.
    row_tokens_mean, row_tokens_bound: expected and largest length of a row (longest-first packing stays below
    mean + longest sample).
    """

    responses: int
    rows: int
    budget_rank: int
    budget_step: int
    row_tokens_mean: int
    row_tokens_bound: int
    updates_per_rollout: int
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    steps_per_generation: int

    @property
    def trl_fields(self) -> dict[str, int]:
        """The GRPOConfig fields that follow from this plan."""
        names = ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation")
        return {name: getattr(self, name) for name in names}


def resolve_batch(
    prompts_per_step: int,
    num_generations: int,
    token_budget: int,
    row_tokens: int,
    mean_prompt_tokens: float,
    world_size: int = 1,
    *,
    scope: Scope = "global",
    updates_per_rollout: int = 1,
    max_response_tokens: int | None = None,
) -> BatchPlan:
    """Derives rows per rank and TRL's three batch fields.

    A step samples prompts_per_step * num_generations responses and trains token_budget of their tokens: of all ranks
    together (scope "global") or of each rank ("rank"). Rows are as few as keep a row near row_tokens.

    Raises UserError where the numbers cannot work together.
    """
    _check_positive(prompts_per_step=prompts_per_step, token_budget=token_budget, row_tokens=row_tokens)
    if num_generations < 2:
        raise UserError(
            f"a group of {num_generations} response has no advantage", where="num_generations", hint="use 2 or more"
        )
    responses = prompts_per_step * num_generations
    if responses % world_size:
        raise UserError(
            f"{prompts_per_step} prompts x {num_generations} responses cannot be shared evenly by {world_size} ranks",
            where="prompts_per_step",
            hint=f"make prompts_per_step x num_generations a multiple of {world_size}",
        )
    budget_rank = token_budget if scope == "rank" else ceil(token_budget / world_size)
    per_rank = responses // world_size
    _check_lengths(budget_rank, per_rank, max_response_tokens, row_tokens, mean_prompt_tokens)

    tokens = budget_rank + per_rank * mean_prompt_tokens
    rows = next(n for n in range(min(ceil(tokens / row_tokens), per_rank), per_rank + 1) if per_rank % n == 0)
    mean = ceil(tokens / rows)
    longest = ceil(mean_prompt_tokens) + min(max_response_tokens or budget_rank, budget_rank)
    return BatchPlan(
        responses=responses,
        rows=rows,
        budget_rank=budget_rank,
        budget_step=token_budget * world_size if scope == "rank" else token_budget,
        row_tokens_mean=mean,
        row_tokens_bound=mean + longest,
        updates_per_rollout=updates_per_rollout,
        per_device_train_batch_size=per_rank // rows,
        gradient_accumulation_steps=rows,
        steps_per_generation=rows * updates_per_rollout,
    )


def activation_bytes(config: Any, tokens: int) -> int:
    """What a training pass over a row of so many tokens keeps for its backward, in 16-bit, without checkpointing.

    config: a transformers text config. Counted per layer and token: 8 hidden states (norms, residuals, projections),
    4 of the query's width, 8 of a key's, 4 of the feed-forward's. On a 0.6B model of Qwen3's shape that is 2.06 MB
    a token, where 1.75 were measured.
    """
    hidden, heads = config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    chosen = getattr(config, "num_experts_per_tok", None)
    width = getattr(config, "intermediate_size", 4 * hidden)
    if chosen and getattr(config, "moe_intermediate_size", None):
        width = config.moe_intermediate_size * (chosen + (getattr(config, "moe_num_shared_experts", 0) or 0))
    per_token = 8 * hidden + 4 * heads * head + 8 * keys * head + 4 * width
    return int(2 * per_token * config.num_hidden_layers * tokens)


def fits_without_checkpointing(config: Any, parameters: int, row_tokens: int, memory: int, *, reference: bool) -> bool:
    """Whether a row's activations fit a device of so many bytes beside weights, gradients and AdamW in float32.

    A tenth is left free, for the head's tiles and for rows that are longer than the mean.
    """
    weights = parameters * (16 + 4 * reference)
    return weights + activation_bytes(config, row_tokens) < 0.9 * memory


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number <= 0:
            raise UserError(f"must be a positive number, not {number}", where=name)


def _check_lengths(budget: int, responses: int, longest: int | None, row_tokens: int, prompt_tokens: float) -> None:
    if longest is None:
        return
    if budget > responses * longest:
        raise UserError(
            f"a budget of {budget} tokens can never be filled: {responses} responses of at most {longest} tokens hold "
            f"{responses * longest}",
            where="token_budget",
            hint="lower it, or raise prompts_per_step, num_generations or max_completion_length",
        )
    if budget < longest:
        raise UserError(
            f"a budget of {budget} tokens is smaller than one response of max_completion_length {longest}",
            where="token_budget",
            hint=f"raise it to {longest} at least, or lower max_completion_length",
        )
    needed = ceil(prompt_tokens) + longest
    if row_tokens < needed:
        raise UserError(
            f"a row of {row_tokens} tokens cannot hold the longest sample ({needed} tokens with its prompt)",
            where="row_tokens",
            hint=f"raise it to {needed} at least",
        )
