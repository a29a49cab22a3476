"""What RL draws follows the recipe's seed, with either engine."""

from pathlib import Path

import pytest
import rl_runs
from tiny_lm import save_policy
from vllm_runs import FAULT, PROBLEMS, verify

from ringlite_cli.engine import engine_seed
from ringlite_cli.runs.rollouts import read_rollouts


@pytest.mark.slow
@pytest.mark.parametrize("use_vllm", [False, pytest.param(True, marks=pytest.mark.skipif(bool(FAULT), reason=FAULT))])
def test_responses_follow_the_recipes_seed(tmp_path: Path, use_vllm: bool) -> None:
    """One problem alone, so that the order of prompts, which follows the seed too, changes nothing."""
    policy = save_policy(tmp_path / "policy", "llama", head_dim=32)
    trl = {"num_generations": 8, "max_completion_length": 12, "learning_rate": 1e-5, "beta": 0.0}
    if use_vllm:
        trl |= {"use_vllm": True, "vllm_mode": "colocate", "vllm_max_model_length": 128}

    def responses(name: str, seed: int) -> list[str]:
        keys = {"prompts_per_step": 1, "token_budget": 64, "row_tokens": 256}
        rl_runs.train(policy, PROBLEMS[:1], verify, tmp_path / name, steps=1, trl=trl, seed=seed, **keys)
        return [row["response"] for row in read_rollouts(tmp_path / name)]

    first = responses("first", 1)
    assert len(set(first)) == 8
    assert responses("again", 1) == first
    assert responses("other", 2) != first


def test_engines_of_a_run_and_runs_of_other_seeds_draw_by_seeds_of_their_own() -> None:
    seeds = {engine_seed(seed, group) for seed in range(50) for group in range(16)}
    assert len(seeds) == 50 * 16
    assert all(0 <= seed < 2**31 for seed in seeds)
