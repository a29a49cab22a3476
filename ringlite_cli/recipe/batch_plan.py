"""The batch arithmetic: from prompts, group size and token budget to what TRL's trainer loop wants. No torch."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from ringlite_cli.errors import UserError

Scope = Literal["rank", "global"]

CPU_ROW_TOKENS = 2048
"""Length of a packed row on a CPU, where no row_tokens is given and no sample is longer."""
MEAN_PROMPT_TOKENS = 128
"""What `plan` takes for the prompts' mean length, and says so: the data is not there yet; a run takes the real mean."""


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
    scope: Scope = "rank",
    updates_per_rollout: int = 1,
    max_completion_length: int | None = None,
    selects: bool = True,
) -> BatchPlan:
    """Derives rows per rank and TRL's three batch fields.

    A step samples prompts_per_step * num_generations responses and trains token_budget of their tokens: of all ranks
    together (scope "global") or of each rank ("rank"). Rows are as few as keep a row near row_tokens.
    selects: False for an algorithm that trains every response: the budget is then what they hold at most, whatever
    token_budget says, because rows must be able to hold them.

    Raises UserError where the numbers cannot work together.
    """
    _check_positive(prompts_per_step=prompts_per_step, token_budget=token_budget, row_tokens=row_tokens)
    if num_generations < 2:
        raise UserError(
            f"a group of {num_generations} response has no advantage: rewards are compared within a group",
            where="num_generations",
            hint="use 2 or more",
        )
    responses = prompts_per_step * num_generations
    if responses % world_size:
        raise UserError(
            f"{prompts_per_step} prompts x {num_generations} responses cannot be shared evenly by {world_size} ranks",
            where="prompts_per_step",
            hint=f"make prompts_per_step x num_generations a multiple of {world_size}",
        )
    per_rank = responses // world_size
    if not selects and max_completion_length is not None:
        token_budget = (per_rank if scope == "rank" else responses) * max_completion_length
    budget_rank = token_budget if scope == "rank" else ceil(token_budget / world_size)
    sharing = per_rank if scope == "rank" else responses
    _check_lengths(token_budget, sharing, max_completion_length, row_tokens, mean_prompt_tokens)

    tokens = budget_rank + per_rank * mean_prompt_tokens
    rows = next(n for n in range(min(ceil(tokens / row_tokens), per_rank), per_rank + 1) if per_rank % n == 0)
    mean = ceil(tokens / rows)
    longest = ceil(mean_prompt_tokens) + min(max_completion_length or token_budget, token_budget)
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


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number <= 0:
            raise UserError(f"must be a positive number, not {number}", where=name)


def _check_lengths(
    budget: int, responses: int, max_completion_length: int | None, row_tokens: int, prompt_tokens: float
) -> None:
    if max_completion_length is None:
        return
    if budget > responses * max_completion_length:
        raise UserError(
            f"a budget of {budget} tokens can never be filled: {responses} responses of at most "
            f"{max_completion_length} tokens hold "
            f"{responses * max_completion_length}",
            where="token_budget",
            hint="lower it, or raise prompts_per_step, num_generations or max_completion_length",
        )
    if budget < max_completion_length:
        raise UserError(
            f"a budget of {budget} tokens is smaller than one response of "
            f"max_completion_length {max_completion_length}",
            where="token_budget",
            hint=f"raise it to {max_completion_length} at least, or lower max_completion_length",
        )
    needed = ceil(prompt_tokens) + max_completion_length
    if row_tokens < needed:
        raise UserError(
            f"a row of {row_tokens} tokens cannot hold the longest sample ({needed} tokens with its prompt)",
            where="row_tokens",
            hint=f"raise it to {needed} at least",
        )
