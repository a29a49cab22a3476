"""Which responses of a rollout are trained, in which update, and what is written of each: plain numbers, no model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from ringlite_cli.c3po.budget import Pick
from ringlite_cli.errors import WorkFailed
from ringlite_cli.train.rl.config import C3POConfig
from ringlite_cli.train.rl.responses import held_responses
from ringlite_cli.train.rl.rollout import RolloutBatch
from ringlite_cli.train.rl.updates import Planner

GROUP = 2


def rollout(lengths: list[int], rewards: list[float | None], ended: list[bool] | None = None) -> RolloutBatch:
    """Responses of one rank and batch, two a prompt."""
    count = len(lengths)
    return RolloutBatch(
        lengths=list(lengths),
        ended=ended or [True] * count,
        rewards=rewards,
        advantages=[float(i) for i in range(count)],
        domains=["math"] * count,
        prompt_ids=[f"p{i // GROUP}" for i in range(count)],
        places=[(0, 0, i) for i in range(count)],
        prompts=[f"prompt {i // GROUP}" for i in range(count)],
        responses=[f"response {i}" for i in range(count)],
        verdicts=["correct" if reward else "wrong" for reward in rewards],
    )


def planner(out: Path, *, skip_truncated: bool = False, **keys: Any) -> Planner:
    numbers = {"prompts_per_step": 4, "num_generations": GROUP, "max_completion_length": 8, "token_budget": 12}
    args = C3POConfig(str(out), **numbers | keys)
    args.gradient_accumulation_steps = 2  # the rows that a trainer derives from its prompts
    return Planner(args, Accelerator(cpu=True), GROUP, skip_truncated=skip_truncated)


LENGTHS = [5, 3, 8, 2, 4, 6, 7, 1]
MIXED = [1.0, 0.0] * 4


def tokens(picks: list[Pick]) -> int:
    return sum(pick.tokens for pick in picks)


def test_a_selection_fills_the_budget_to_the_token(tmp_path: Path) -> None:
    (picks,) = planner(tmp_path).select(rollout(LENGTHS, MIXED), 12, step=0)
    assert tokens(picks) == 12
    assert all(pick.tokens == LENGTHS[pick.index] for pick in picks[:-1])  # the last one alone is cut


def test_the_order_is_the_step_s_own_and_the_same_each_time(tmp_path: Path) -> None:
    plans = planner(tmp_path)
    first, again, later = (plans.select(rollout(LENGTHS, MIXED), 12, step)[0] for step in (0, 0, 1))
    assert first == again
    assert [pick.index for pick in first] != [pick.index for pick in later]


def test_updates_of_a_rollout_share_no_response(tmp_path: Path) -> None:
    first, second = planner(tmp_path, updates_per_rollout=2).select(rollout(LENGTHS, MIXED), 12, step=0)
    assert (tokens(first), tokens(second)) == (12, 12)
    assert not {pick.index for pick in first[:-1]} & {pick.index for pick in second}


def test_without_a_budget_every_response_is_trained_whole(tmp_path: Path) -> None:
    plans = planner(tmp_path, algorithm="grpo", updates_per_rollout=2)
    first, second = plans.select(rollout([5, 3, 0, 2, 4, 6, 7, 1], MIXED), 12, step=0)
    assert sorted(pick.index for pick in first + second) == [0, 1, 3, 4, 5, 6, 7]  # an empty one has no token
    assert tokens(first) + tokens(second) == 28


def test_what_may_be_trained(tmp_path: Path) -> None:
    """A response without a verdict never; a group of one reward, and a truncated response, by the settings."""
    rewards = [1.0, 0.0, 1.0, 1.0, None, 0.0, 0.0, 1.0]
    ended = [True] * 7 + [False]
    seen = rollout(LENGTHS, rewards, ended)
    assert planner(tmp_path).pools(seen) == [[0, 1, 2, 3, 5, 6, 7]]
    assert planner(tmp_path, skip_truncated=True).pools(seen) == [[0, 1, 2, 3, 5, 6]]
    informative = planner(tmp_path, drop_uninformative=True).pools(seen)[0]
    assert {0, 1, 6, 7} <= set(informative)
    assert not {2, 3} & set(informative)


def test_what_is_missing_of_the_budgets_of_all_updates(tmp_path: Path) -> None:
    seen = rollout(LENGTHS, MIXED)  # 36 tokens
    assert planner(tmp_path).missing(seen, 30) == 0
    assert planner(tmp_path).missing(seen, 40) == 4
    assert planner(tmp_path, updates_per_rollout=2).missing(seen, 20) == 4


def test_no_verdict_at_all_is_a_failure_of_the_verifier(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed, match="no response of step 3 got a verdict"):
        planner(tmp_path).select(rollout(LENGTHS, [None] * 8), 12, step=2)
    silent = rollout(LENGTHS, [None] * 8)
    silent.details[:] = ["", "reward model: it has no room", *[""] * 6]
    with pytest.raises(WorkFailed, match="got a verdict: reward model: it has no room"):
        planner(tmp_path).select(silent, 12, step=2)


def test_an_update_holds_the_picked_prefixes_and_divides_by_the_budget(tmp_path: Path) -> None:
    sizes = torch.tensor([3, 2])
    batch = {
        "prompt_ids": torch.tensor([[0, 7], [8, 9]]),
        "prompt_mask": torch.tensor([[0, 1], [1, 1]]),
        "completion_ids": torch.tensor([[11, 12, 13], [21, 22, 0]]),
        "completion_mask": (torch.arange(3) < sizes[:, None]).long(),
        "advantages": torch.tensor([0.5, -0.5]),
    }
    seen = rollout([3, 2], [1.0, 0.0])
    update = planner(tmp_path).update([held_responses(batch)], seen, [Pick(1, 1), Pick(0, 3)], budget=12)
    assert sorted(update.row_sizes) == [2 + 1, 1 + 3]  # prompt and kept tokens, a row each
    assert (update.step_size, update.divisor) == (7, 12)
    assert update.stats == {"row_fill": 7 / 8, "row_tokens_max": 4}
    held = sorted(row["input_ids"].flatten().tolist() for row in update.rows)
    assert held == [[7, 11, 12, 13], [8, 9, 21]]


def test_a_refill_is_a_further_batch_behind() -> None:
    seen, more = rollout([3, 2], [1.0, 0.0]), rollout([4, 1], [0.0, 1.0])
    seen.extend(more)
    assert seen.lengths == [3, 2, 4, 1]
    assert seen.places == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]


def test_a_row_tells_the_step_that_trained_it_and_the_tokens_it_kept() -> None:
    seen = rollout([3, 2, 4, 1], [1.0, 0.0, None, 1.0], [True, True, True, False])
    seen.policy_step = 4
    rows = seen.rows({0: (5, 3), 2: (6, 1)})
    assert [(row["step"], row["tokens"], row["tokens_kept"]) for row in rows] == [
        (5, 3, 3), (5, 2, 0), (6, 4, 1), (5, 1, 0),
    ]  # fmt: skip
    assert [row["truncated"] for row in rows] == [False, False, False, True]
    assert [row["reward"] for row in rows] == [1.0, 0.0, None, 1.0]
