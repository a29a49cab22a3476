import pytest
import torch
from tiny_lm import MIXTURES, tiny_model
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from ringlite_cli.c3po.router import (
    RouterTap,
    _flat_logits,
    balance_loss,
    check_router_is_visible,
    check_router_learns,
    health_numbers,
    router_parameters,
    z_loss,
)
from ringlite_cli.c3po.routing import Choice, Routing, find_routing
from ringlite_cli.errors import UserError

IDS = torch.arange(24)[None]


def test_balance_by_hand():
    """Two tokens, three experts, top 1: P = (.5, .3, .2) and (.1, .1, .8) -> mean (.3, .2, .5); F = (.5, 0, .5)."""
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]).log()
    assert balance_loss(logits, Routing(1)).item() == pytest.approx(0.3 * 0.5 + 0.5 * 0.5)


def test_an_even_load_costs_k_over_ne():
    logits = torch.eye(4).repeat(3, 1) * 1e-4
    assert balance_loss(logits, Routing(1)).item() == pytest.approx(1 / 4, rel=1e-3)


def test_it_is_transformers_loss_over_the_number_of_experts():
    logits = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    theirs = load_balancing_loss_func((logits,), num_experts=8, top_k=2)
    assert balance_loss(logits, Routing(2)).item() == pytest.approx(theirs.item() / 8)


def test_a_selection_bias_changes_the_load_and_not_the_probabilities():
    logits = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
    assert balance_loss(logits, Routing(1)).item() == pytest.approx(0.6)
    assert balance_loss(logits, Routing(1), bias=torch.tensor([0.0, 1.0])).item() == pytest.approx(0.4)


def test_z_by_hand():
    logits = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    expected = ((1 + torch.log(torch.tensor(2.0))) ** 2 + torch.log(torch.tensor(2.0)) ** 2) / 2
    assert z_loss(logits).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("architecture", MIXTURES)
def test_the_tap_reads_every_mixture_and_its_losses_reach_the_router(architecture):
    model = tiny_model(architecture)
    tap = RouterTap(model)
    check_router_is_visible(model, tap)
    with tap.open():
        model(input_ids=IDS, use_cache=False)
    layers = 1 if architecture == "ernie4_5_moe" else 2  # its first layer is dense
    assert [tuple(x.shape) for x in tap.logits] == [(24, 4)] * layers
    balance, z = tap.losses()
    (balance + z).backward()
    routers = [p for name, p in model.named_parameters() if name.endswith("mlp.gate.weight")]
    assert len(routers) == layers
    assert all(p.grad.abs().max() > 0 for p in routers)


def test_the_tap_costs_nothing_when_it_is_closed():
    model = tiny_model("qwen3_moe")
    tap = RouterTap(model)
    out = model(input_ids=IDS, use_cache=False)
    assert tap.logits == ()
    assert out.aux_loss is None


def test_the_tap_works_under_gradient_checkpointing():
    grads = []
    for checkpointing in (False, True):
        model = tiny_model("qwen3_moe").train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        tap = RouterTap(model)
        with tap.open():
            model(input_ids=IDS, use_cache=False)
        balance, z = tap.losses()
        (balance + z).backward()
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for plain, checkpointed in zip(*grads, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_logits_in_a_tuple_or_three_dimensional_are_flattened():
    logits = torch.randn(1, 5, 4)
    (flat,) = _flat_logits([(logits, torch.zeros(1, 5, 2))])
    assert flat.shape == (5, 4)
    assert len(_flat_logits([None, logits[0]])) == 1


@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
def test_a_dense_model_is_refused(architecture):
    model = tiny_model(architecture)
    with pytest.raises(UserError, match=r"ForCausalLM returns no router logits.*set both to 0"):
        check_router_is_visible(model, RouterTap(model))


def test_groups_of_sigmoids_are_found_out_and_counted_by():
    model = tiny_model(
        "deepseek_v3",
        n_routed_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        first_k_dense_replace=1,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        n_group=4,
        topk_group=2,
        num_key_value_heads=4,
    )
    gate = model.model.layers[1].mlp.gate
    torch.nn.init.normal_(gate.weight)
    tap = RouterTap(model)
    check_router_is_visible(model, tap)
    assert tap.routing == Routing(2, "sigmoid", 4, 2)
    told = []
    gate.register_forward_hook(lambda module, args, output: told.append(output[2] if len(output) == 3 else output))
    with tap.open():
        model(input_ids=IDS, use_cache=False)
    by_hand = torch.bincount(told[0].reshape(-1), minlength=8).float()
    assert torch.equal(tap.health()[0, :8], by_hand)
    assert by_hand.max() > 0


def test_where_softmax_and_sigmoid_choose_alike_the_weights_decide():
    logits = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    for scores in ("softmax", "sigmoid"):
        rule = Routing(2, scores)
        experts = rule.chosen(logits)
        weights = rule.score(logits).gather(-1, experts)
        assert find_routing(None, 2, [Choice(logits, experts, 2.5 * weights / weights.sum(-1, keepdim=True))]) == rule


def test_dropped_groups_are_never_chosen_though_their_scores_are_above_the_kept_ones():
    """Four experts in two groups of two, biases below zero: the group (3, 4) is dropped, though 0 > its kept scores."""
    logits = torch.tensor([[2.0, 1.0, 1.5, -9.0]])
    bias = torch.tensor([-2.0, -2.0, -2.0, -2.0])
    assert Routing(2, "sigmoid", 2, 1).chosen(logits, bias).sort().values.tolist() == [[0, 1]]


def test_the_balance_of_sigmoids_by_hand():
    """Scores (0.6, 0.2) -> P = (0.75, 0.25), one expert chosen."""
    logits = torch.logit(torch.tensor([[0.6, 0.2]]))
    assert balance_loss(logits, Routing(1, "sigmoid")).item() == pytest.approx(0.75)


def test_a_router_that_chooses_by_another_rule_is_refused():
    model = tiny_model("qwen3_moe")
    for layer in model.model.layers:
        layer.mlp.gate.register_forward_hook(
            lambda module, args, output: (output[0], output[1], (-output[0]).topk(2, dim=-1).indices)
        )
    with pytest.raises(UserError, match="computed for Qwen3MoeForCausalLM: it does not choose the top 2 experts"):
        check_router_is_visible(model, RouterTap(model))


def test_health_counts_loads_entropy_and_z():
    """Two experts, top 1, logits (0, 0): even; then both tokens to one expert: load 2 and 0, a violation of 1."""
    model = tiny_model("qwen3_moe")
    tap = RouterTap(model)
    tap.routing = Routing(1)
    tap._logits = (torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[9.0, 0.0], [9.0, 0.0]]))
    numbers = health_numbers(tap.health(), tokens=2, top_k=1)
    assert (numbers["router_load_max"], numbers["router_load_min"]) == ([1.0, 2.0], [1.0, 0.0])
    assert numbers["router_max_violation"] == pytest.approx(1.0)
    z = torch.stack([torch.logsumexp(x, -1).square().mean() for x in tap.logits]).mean()
    assert numbers["router_z"] == pytest.approx(z.item(), rel=1e-5)


@pytest.mark.parametrize("architecture", MIXTURES)
def test_a_coefficient_without_a_gradient_at_the_router_is_refused(architecture):
    model = tiny_model(architecture)
    tap = RouterTap(model)
    assert router_parameters(model)
    check_router_learns(model, tap)
    assert all(p.grad is None for p in model.parameters())
    for parameter in router_parameters(model):
        parameter.requires_grad_(False)
    with pytest.raises(UserError, match="no gradient reaches the router"):
        check_router_learns(model, tap)


def test_the_tap_reads_the_bias_that_the_model_holds_now():
    """Sharding puts another tensor in the place of the first."""
    model = tiny_model("ernie4_5_moe")
    tap = RouterTap(model)
    (router,) = [m for m in model.modules() if hasattr(m, "e_score_correction_bias")]
    router.e_score_correction_bias = torch.nn.Parameter(torch.full_like(router.e_score_correction_bias, 2.0))
    with tap.open():
        model(input_ids=torch.arange(8)[None])
    (bias,) = tap.biases
    assert bias.tolist() == [2.0] * bias.numel()
