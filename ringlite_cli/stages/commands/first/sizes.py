"""The numbers of a first recipe: splits, lengths, batch and budget, from what the file holds and the model takes."""

from dataclasses import dataclass
from math import ceil

from ringlite_cli.recipe.schema import RlStage, Split
from ringlite_cli.stages.commands.first.lengths import Lengths, quantile

_STEP = 32
"""Lengths are rounded up to a multiple of this."""
_LEAST_RESPONSE, _MOST_RESPONSE = 64, 4096
_DISJOINT = 400
"""Problems for training from which on SFT and RL learn from different ones."""
_PASSES = 3
_LEAST_PROMPTS = 4
_STEPS = (8, 32)
"""Steps of RL at least and at most: _PASSES times over its problems between them."""
_LEARNING_RATES = ((5e8, 1e-4, 1e-5), (3e9, 2e-5, 3e-6), (float("inf"), 1e-5, 1e-6))
"""(parameters up to, rate of SFT, rate of RL)."""


def shares(rows: int) -> dict[Split, float]:
    """Return the shares of train, select and eval: few problems leave enough to tell policies apart."""
    if rows < 200:
        return {"train": 0.6, "select": 0.15, "eval": 0.25}
    if rows < 2000:
        return {"train": 0.75, "select": 0.08, "eval": 0.17}
    held = min(0.1, round(400 / rows, 4))
    return {"train": round(1 - held * 1.25, 6), "select": round(held * 0.25, 6), "eval": held}


@dataclass(frozen=True)
class Sizes:
    """What is written into the recipe.

    max_length: of an SFT sample. max_completion_length: of a response. responses: K, of a group. apart: whether SFT and
    RL learn from different problems. prompts_left_out: prompts that leave no room for such a response.
    """

    max_length: int
    max_completion_length: int
    engine_length: int
    prompts_per_step: int
    responses: int
    token_budget: int
    max_steps: int
    apart: bool
    sft_rate: float
    rl_rate: float
    expected: int


def make_sizes(
    lengths: Lengths, positions: int | None, parameters: int, train: int, rl: RlStage, fallback: int
) -> Sizes:
    """Fit the numbers.

    lengths: of the problems that curation keeps. train: how many of them RL learns from. rl: the RL stage of the recipe
    that is followed. fallback: tokens of a response where no trace tells how long they are.
    """
    prompt = _longest_prompt(lengths, positions)
    room = (positions or 1 << 30) - prompt
    typical = quantile(lengths.traces, 0.5)
    wanted = ceil(1.25 * quantile(lengths.traces, 0.95)) if lengths.traces else fallback
    longest = min(_up(min(max(wanted, _LEAST_RESPONSE), _MOST_RESPONSE)), room)
    most = max(lengths.samples, default=prompt + longest)
    max_length = min(_up(most), positions or 1 << 30)
    apart = train >= _DISJOINT
    problems = train // 2 if apart else train
    group = max(2, rl.num_generations)
    prompts = max(1, min(max(rl.prompts_per_step, _LEAST_PROMPTS), problems, max(_LEAST_PROMPTS, problems // 8)))
    expected = min(longest, typical or longest // 2)
    budget = max(longest, round(0.8 * prompts * group * expected))
    steps = min(max(ceil(_PASSES * problems / prompts), _STEPS[0]), _STEPS[1])
    rates = next((sft, rl_rate) for most, sft, rl_rate in _LEARNING_RATES if (parameters or 1e9) <= most)
    return Sizes(
        max_length=max_length,
        max_completion_length=longest,
        engine_length=_up(prompt + longest) if positions is None else min(_up(prompt + longest), positions),
        prompts_per_step=prompts,
        responses=group,
        token_budget=min(budget, prompts * group * longest),
        max_steps=steps,
        apart=apart,
        sft_rate=rates[0],
        rl_rate=rates[1],
        expected=expected,
    )


def _longest_prompt(lengths: Lengths, positions: int | None) -> int:
    """The longest prompt that leaves room for a short response; where prompts vary much, of nearly all of them."""
    fits = [tokens for tokens in lengths.prompts if positions is None or tokens + _LEAST_RESPONSE <= positions]
    return max(fits or [min(lengths.prompts, default=0)])


def _up(tokens: int) -> int:
    return ceil(tokens / _STEP) * _STEP
