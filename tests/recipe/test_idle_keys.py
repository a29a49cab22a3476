"""Keys of rollouts and budgets that nothing would read, or that would be read wrongly: each is refused by its name."""

from typing import Any

import pytest

from ringlite_cli.recipe.rl_settings import RlSettings

VLLM = {"use_vllm": True}
CARRY = {"mode": "carry"}


def faults(trl: dict[str, Any] | None = None, **keys: Any) -> list[str]:
    fields = {"max_steps": 2, "num_generations": 4, "max_completion_length": 16, **(trl or {})}
    return RlSettings.made(**{"prompts_per_step": 4, "token_budget": 64, **keys}, trl=fields).faults()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"budget_steps": 5}, "budget_steps: it is of budget_schedule: linear; set that, or leave it out"),
        ({"token_budget_end": 96}, "token_budget_end: it is of budget_schedule: linear or adaptive; set one, or leave"),
        ({"budget_dead_band": 0.3}, "budget_dead_band: it is of budget_schedule: adaptive; set that, or leave it out"),
        ({"refill_rounds": 5}, "refill_rounds: it is of undershoot: refill; set that, or leave it out"),
        ({"rest_rollouts": 3}, "rest_rollouts: it is of sampling: difficulty; set that, or leave it out"),
        ({"sampling": "mine:draw", "rest_rollouts": 3}, "rest_rollouts: it is of sampling: difficulty"),
        ({"algorithm": "grpo", "cut": "whole"}, "cut: grpo trains every response whole; leave it out"),
        ({"rollouts": {"order": "longest"}}, "rollouts.order: the trainer's own model begins all responses of a step"),
        (
            {"rollouts": {"order": "longest"}, "rollout_func": "mine:draw", "trl": VLLM},
            "rollouts.order: a rollout_func gets the prompts of a step together",
        ),
    ],
)
def test_a_key_that_nothing_reads_is_refused(keys: dict[str, Any], message: str) -> None:
    (found,) = faults(**keys)
    assert found.startswith(message)


@pytest.mark.parametrize(
    "keys",
    [
        {"budget_schedule": "linear", "token_budget_end": 96, "budget_steps": 5},
        {"budget_schedule": "adaptive", "token_budget_end": 96, "budget_dead_band": 0.3},
        {"undershoot": "refill", "refill_rounds": 5, "rest_rollouts": 3},
        {"rollouts": CARRY, "overlong": {"rule": "mask"}, "refill_rounds": 5},
        {"sampling": "difficulty", "rest_rollouts": 3},
        {"rollouts": {"order": "longest"}, "trl": VLLM},
        {"rollouts": {"order": "longest"}, "trl": VLLM | {"vllm_mode": "server"}},
        {"rollouts": CARRY | {"order": "longest"}},
        {"rollouts": {"order": "longest", "ahead": 1}, "rollout_func": "mine:draw"},
    ],
)
def test_a_key_that_is_read_is_not(keys: dict[str, Any]) -> None:
    assert faults(**keys) == []


@pytest.mark.parametrize(
    ("name", "value", "trl"),
    [
        ("min_new_tokens", 8, {}),
        ("min_length", 8, {}),
        ("stop_strings", ["x"], {}),
        ("exponential_decay_length_penalty", [5, 1.1], {}),
        ("begin_suppress_tokens", [3], {}),
        ("forced_eos_token_id", 2, {}),
        ("max_time", 3.0, {}),
        ("bad_words", ["never said"], VLLM),
        ("thinking_token_budget", 100, VLLM),
        ("repetition_detection", {"max_pattern_size": 4}, VLLM),
    ],
)
def test_what_counts_from_a_response_s_beginning_is_refused_in_mode_carry(
    name: str, value: Any, trl: dict[str, Any]
) -> None:
    """A carried response is a prompt: with min_new_tokens none could end, for each part counts anew."""
    (found,) = faults(rollouts=CARRY, trl={**trl, "generation_kwargs": {name: value}})
    assert f"trl.generation_kwargs: {name} " in found
    assert faults(trl={**trl, "generation_kwargs": {name: value}}) == []


def test_how_often_a_group_is_carried_over_does_not_hang_on_a_budget_that_the_algorithm_has_not() -> None:
    """A rollout of grpo writes what prompts_per_step groups have, of responses of an eighth of the longest, say."""
    found = {
        RlSettings.made(
            algorithm="grpo", prompts_per_step=4, token_budget=budget, rollouts=CARRY | more, trl={"max_steps": 1}
        ).max_retention(4, 4096)
        for budget in (4096, 409_600)
        for more in ({}, {"in_flight": 16})
    }
    assert found == {8}
    more = RlSettings.made(
        algorithm="grpo", prompts_per_step=4, rollouts=CARRY | {"in_flight": 64}, trl={"max_steps": 1}
    )
    assert more.max_retention(4, 4096) == 32
