"""Gradients are summed in a fixed order while something is trained on a CPU, and as torch likes elsewhere."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rl_runs import rl
from tiny_lm import save_policy

from ringlite_cli.problems import Problem
from ringlite_cli.train.sft.run import run_sft
from ringlite_cli.train.sums import sums_in_order

in_order = torch.are_deterministic_algorithms_enabled
CPU = torch.device("cpu")


def test_the_gradient_of_a_token_that_four_experts_get_is_the_same_each_time() -> None:
    """Seen with two threads: 36 of 40 gradients differed without the block."""
    torch.manual_seed(3)
    tokens, experts = 2000, 4
    states, chosen = torch.randn(tokens, 128, requires_grad=True), torch.randperm(tokens * experts)
    weight = torch.randn(tokens * experts, 128)

    def gradient() -> torch.Tensor:
        return torch.autograd.grad(states[chosen // experts], states, weight)[0]

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with sums_in_order(CPU):
            first = gradient()
            assert all(torch.equal(gradient(), first) for _ in range(30))
    finally:
        torch.set_num_threads(threads)
    assert not in_order()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device trains, in torch's own order")
def test_sft_and_rl_train_in_order_and_leave_torch_as_it_was(tmp_path: Path) -> None:
    seen: list[bool] = []

    def look(_: Any) -> None:
        seen.append(in_order())

    policy = save_policy(tmp_path / "policy", "qwen3_moe")
    traces = [Problem(f"t{i}", "math", "w1 w2", answer="3", trace=" ".join(["w4"] * (3 + i))) for i in range(6)]
    run_sft(policy, traces, tmp_path / "sft", trl={"max_steps": 2}, seed=1, on_step=look)
    assert seen == [True, True]
    assert not in_order()
    rl(policy, tmp_path / "rl", steps=2, on_step=look)
    assert seen == [True] * 4
    assert not in_order()


def test_a_gpu_keeps_torch_s_own_order() -> None:
    with sums_in_order(torch.device("cuda")):
        assert not in_order()


def test_what_the_user_has_set_stays() -> None:
    before = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    try:
        with sums_in_order(CPU):
            assert torch.utils.deterministic.fill_uninitialized_memory == before
        assert in_order()
    finally:
        torch.use_deterministic_algorithms(False)
