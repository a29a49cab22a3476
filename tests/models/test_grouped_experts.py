"""Experts of a mixture under autocast: in its format like the rest; and in sizes that grouped products refuse."""

from copy import deepcopy

import pytest
import torch
from tiny_lm import MIXTURES, tiny_model
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from ringlite_cli.models import register

register()
IDS = torch.arange(3, 43).view(2, 20)
OTHERS = {
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8},
    "deepseek_v3": {
        **{"moe_intermediate_size": 32, "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2},
        **{"n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 16, "kv_lora_rank": 16},
        **{"qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "num_key_value_heads": 4},
    },
    "bailing_moe": {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 8},
}
ALL = [*MIXTURES, *OTHERS]


def mixture(architecture):
    model = tiny_model(architecture, **OTHERS.get(architecture, {}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    return model


def stacks(model):
    return {name: parameter for name, parameter in model.named_parameters() if parameter.dim() == 3}


def passed(model, *, autocast):
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        return model(input_ids=IDS).logits


@pytest.mark.parametrize("architecture", ALL)
def test_experts_under_autocast_are_those_in_its_format(architecture):
    """As bfloat16 weights would be multiplied; the gradient reaches the float32 ones."""
    model = mixture(architecture)
    assert model.config._experts_implementation == "grouped_mm"
    held = deepcopy(model)
    for parameter in stacks(held).values():
        parameter.data = parameter.data.to(torch.bfloat16)
    found, expected = passed(model, autocast=True), passed(held, autocast=True)
    assert torch.equal(found, expected)
    found.float().square().mean().backward()
    expected.float().square().mean().backward()
    of_held = stacks(held)
    assert stacks(model)
    for name, parameter in stacks(model).items():
        assert parameter.grad.dtype == torch.float32
        torch.testing.assert_close(parameter.grad, of_held[name].grad.float(), atol=0, rtol=0)


@pytest.mark.parametrize("architecture", ALL)
def test_an_update_that_bfloat16_has_no_room_for_is_in_no_pass(architecture):
    """An engine in bfloat16 rounds it away; a trainer that saw it would train another policy than the one that drew."""
    model = mixture(architecture)
    before, exact = passed(model, autocast=True), passed(model, autocast=False)
    with torch.no_grad():
        for parameter in stacks(model).values():
            parameter += 0.1 * torch.finfo(torch.bfloat16).eps * parameter
    assert torch.equal(passed(model, autocast=True), before)
    assert not torch.equal(passed(model, autocast=False), exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_widths_that_grouped_products_do_not_take_are_computed_one_by_one(dtype, autocast):
    fields = {"hidden_size": 36, "moe_intermediate_size": 18, "head_dim": 8}
    model = tiny_model("qwen3_moe", **fields).to(dtype)
    assert model.config._experts_implementation == "grouped_mm"
    found = passed(model, autocast=autocast)
    model.set_experts_implementation("eager")
    assert torch.equal(found, passed(model, autocast=autocast))
    experts = model.model.layers[0].mlp.experts
    hidden, index = torch.zeros(3, 36, dtype=dtype), torch.zeros(3, 2, dtype=torch.long)
    with pytest.raises(RuntimeError, match="16 bytes"):
        ALL_EXPERTS_FUNCTIONS["grouped_mm"]._plain(experts, hidden, index, torch.ones(3, 2, dtype=dtype))


def test_settling_twice_changes_nothing():
    from ringlite_cli.models.grouped_experts import settle_experts

    before = ALL_EXPERTS_FUNCTIONS["grouped_mm"]
    settle_experts()
    assert ALL_EXPERTS_FUNCTIONS["grouped_mm"] is before
