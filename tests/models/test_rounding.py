"""Weights rounded by chance: what an adapter adds stays there, where the nearest number of 16 bits would drop it."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_lm import tiny_model

from ringlite_cli.models.adapters import merged
from ringlite_cli.models.rounding import round_by_chance

FORMATS = [torch.bfloat16, torch.float16]


def weights(dtype, *shape):
    return 0.02 * torch.randn(*shape, generator=torch.Generator().manual_seed(3)).to(dtype)


@pytest.mark.parametrize("dtype", FORMATS)
def test_an_addition_of_a_twentieth_of_a_gap_stays_in_the_mean(dtype):
    start = weights(dtype, 1000, 1000)
    added = 0.05 * (start.float().abs() * torch.finfo(dtype).eps)
    nearest = (start.float() + added).to(dtype).float() - start.float()
    found = round_by_chance(start.float() + added, dtype, "q_proj.weight").float() - start.float()
    assert nearest.sum() < 0.1 * added.sum()  # what this is for
    assert abs(found.sum() / added.sum() - 1) < 0.02


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_becomes_one_of_its_two_neighbours(dtype, sign):
    start = weights(dtype, 300, 300)
    exact = start.float() + sign * 3e-6
    found = round_by_chance(exact.clone(), dtype, "w").float()
    gap = torch.finfo(dtype).eps * exact.abs() + 6e-8  # the smallest gap of a float16
    assert ((found - exact).abs() <= gap).all()
    assert 0 < (found != start.float()).float().mean() < 1


@pytest.mark.parametrize("dtype", FORMATS)
def test_numbers_that_the_format_has_stay(dtype):
    exact = torch.cat([weights(dtype, 999).float(), torch.tensor([0.0, -0.0, 1.0, -2.5, float("inf"), -float("inf")])])
    assert torch.equal(round_by_chance(exact.clone(), dtype, "w").float(), exact)
    assert round_by_chance(torch.tensor([float("nan")]), dtype, "w").isnan().all()


def test_a_name_draws_the_same_and_another_name_others():
    exact = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    once, again, other = (round_by_chance(exact.clone(), torch.bfloat16, name) for name in ("a", "a", "b"))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_float32_is_not_rounded():
    exact = torch.randn(64, 64)
    assert torch.equal(round_by_chance(exact.clone(), torch.float32, "w"), exact)


STACKS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
TARGETS = {
    "llama": {"target_modules": "all-linear"},
    "qwen3_moe": {"target_modules": ["q_proj", "v_proj", "o_proj"], "target_parameters": STACKS},
}


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("architecture", TARGETS)
def test_a_merged_policy_holds_what_a_first_step_taught_it(architecture, dtype):
    """A step of the gradient's sign adds less than half the gap to the next number of 16 bits, nearly everywhere."""
    wide = {"hidden_size": 256, "intermediate_size": 256, "moe_intermediate_size": 128, "initializer_range": 0.05}
    model = tiny_model(architecture, **wide).to(dtype).float()
    ids = torch.arange(3, 51)[None]

    def seen(network):
        return network(input_ids=ids).logits.log_softmax(-1)[0, :-1].gather(-1, ids[0, 1:, None])

    torch.manual_seed(3)
    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=8, **TARGETS[architecture]))
    before = seen(adapted)
    before.mean().backward()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter += 1e-2 * torch.finfo(dtype).eps * parameter.grad.sign()
        learned = seen(adapted)
        kept = seen(merged(adapted, dtype).to(dtype).float())
    moved = (learned - before).norm()
    assert moved > 0
    assert (kept - learned).norm() < 0.5 * moved  # the nearest numbers leave 0.83 to 0.9 of it out
