"""Bailing MoE computes what the published code computed: the golden values, to 1e-5 in fp32."""

import pytest
import torch
from bailing import KINDS, expected, golden_model

from ringlite_cli.c3po.entropy import check_head_is_linear, policy_entropy
from ringlite_cli.c3po.packing import PackedSample, forward_inputs, pack_row
from ringlite_cli.c3po.router import RouterTap, check_router_is_visible, check_router_learns
from ringlite_cli.c3po.row_path import choose_path

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
SAMPLES = [PackedSample(i, [7, 8 + i], list(range(10 + i, 22 + 3 * i)), 1.0) for i in range(3)]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.mark.parametrize("experts", ["eager", "grouped_mm"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@torch.no_grad()
def test_logits_of_a_left_padded_batch(kind, attention, experts):
    model, golden = golden_model(kind, attn_implementation=attention, experts_implementation=experts), expected(kind)
    logits = model(input_ids=golden["input_ids"], attention_mask=golden["attention_mask"]).logits
    real = golden["attention_mask"].bool()
    torch.testing.assert_close(logits[real], golden["eval_logits"][real], **CLOSE)


@pytest.mark.parametrize("experts", ["eager", "grouped_mm"])
def test_loss_logits_and_gradients_of_training(kind, experts):
    model, golden = golden_model(kind, experts_implementation=experts).train(), expected(kind)
    out = model(input_ids=golden["input_ids"][:1], labels=golden["input_ids"][:1])
    out.loss.backward()
    torch.testing.assert_close(out.loss, golden["train_loss"][0], **CLOSE)
    torch.testing.assert_close(out.logits, golden["train_logits"], **CLOSE)
    parameters = dict(model.named_parameters())
    third_expert = parameters["model.layers.2.mlp.experts.down_proj"].grad[3]
    gradients = {name: p.grad for name, p in parameters.items()}
    gradients["model.layers.2.mlp.experts.3.down_proj.weight"] = third_expert
    names = [name.removeprefix("grad.") for name in golden if name.startswith("grad.")]
    assert len(names) == 7
    for name in names:
        torch.testing.assert_close(gradients[name], golden[f"grad.{name}"], **CLOSE)


def test_gradient_checkpointing_changes_nothing(kind):
    model, golden = golden_model(kind).train(), expected(kind)
    model.gradient_checkpointing_enable()
    model(input_ids=golden["input_ids"][:1], labels=golden["input_ids"][:1]).loss.backward()
    torch.testing.assert_close(model.lm_head.weight.grad, golden["grad.lm_head.weight"], **CLOSE)
    gate = model.model.layers[2].mlp.gate.weight.grad
    torch.testing.assert_close(gate, golden["grad.model.layers.2.mlp.gate.weight"], **CLOSE)


@torch.no_grad()
def test_router_logits_are_a_row_a_token(kind):
    golden, model = expected(kind), golden_model(kind)
    out = model.model(input_ids=golden["input_ids"][:1], output_router_logits=True)
    assert len(out.router_logits) == 3
    for number, logits in enumerate(out.router_logits):
        torch.testing.assert_close(logits, golden[f"router_logits.{number}"], **CLOSE)


def test_the_router_can_be_seen_and_learns(kind):
    model = golden_model(kind)
    tap = RouterTap(model)
    check_router_is_visible(model, tap)
    check_router_learns(model, tap)


@torch.no_grad()
def test_the_auxiliary_loss_is_added_by_its_coefficient(kind):
    golden, model = expected(kind), golden_model(kind)
    ids = golden["input_ids"][:1]
    out = model(input_ids=ids, labels=ids, output_router_logits=True)
    assert out.aux_loss > 0
    torch.testing.assert_close(out.loss - golden["train_loss"][0], 0.001 * out.aux_loss, atol=1e-5, rtol=0)


def test_greedy_tokens_of_a_padded_batch(kind):
    golden, model = expected(kind), golden_model(kind)
    mask = golden["attention_mask"]
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    batch = model.generate(golden["input_ids"], attention_mask=mask, **options)[:, 17:]
    assert torch.equal(batch[:1], golden["greedy"])
    alone = model.generate(golden["input_ids"][1:, 5:], attention_mask=mask[1:, 5:], **options)[:, 12:]
    assert torch.equal(batch[1:], alone)
    without_cache = model.generate(golden["input_ids"][:1], attention_mask=mask[:1], use_cache=False, **options)[:, 17:]
    assert torch.equal(without_cache, golden["greedy"])


def test_packed_rows_give_what_samples_give_alone(kind):
    model = golden_model(kind)
    assert choose_path(model).attention == "ringlite_packed"
    row = pack_row(SAMPLES)
    packed = model(**forward_inputs(model, row), use_cache=False).logits[0]
    alone = [model(input_ids=torch.tensor([s.prompt + s.response])).logits[0] for s in SAMPLES]
    torch.testing.assert_close(packed, torch.cat(alone), **CLOSE)
    packed.logsumexp(-1).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    torch.cat(alone).logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-4, rtol=1e-4)


def test_the_fused_head_of_training_gives_the_models_log_probs(kind):
    """With norm_head the fused head must see the normalised weight, forward and backward."""
    from trl.trainer.utils import add_fused_lm_head

    golden, model = expected(kind), golden_model(kind)
    ids = golden["input_ids"][:1]
    labels = torch.cat([ids[:, 1:], torch.full((1, 1), -100)], dim=1)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    out = model(input_ids=ids, shift_labels=labels, fused_lm_head=True)
    logs = golden["train_logits"].log_softmax(-1)
    torch.testing.assert_close(out.log_probs[0, :-1], logs[0, :-1].gather(1, ids[0, 1:, None])[:, 0], **CLOSE)
    torch.testing.assert_close(out.entropy[0, :-1], -(logs.exp() * logs).sum(-1)[0, :-1], **CLOSE)
    (-out.log_probs.sum() / 16).backward()
    torch.testing.assert_close(model.lm_head.weight.grad, golden["grad.lm_head.weight"], **CLOSE)
    qkv = model.model.layers[0].attention.query_key_value.weight.grad
    torch.testing.assert_close(qkv, golden["grad.model.layers.0.attention.query_key_value.weight"], **CLOSE)


@torch.no_grad()
def test_the_entropy_scorer_sees_the_same_head(kind):
    golden, model = expected(kind), golden_model(kind)
    check_head_is_linear(model)
    ids = golden["input_ids"][0].tolist()
    (scored,) = policy_entropy(model, [(ids[:1], ids[1:])], 100)
    logs = golden["train_logits"][0].log_softmax(-1)[:-1]
    assert scored.entropy == pytest.approx(-(logs.exp() * logs).sum(-1).mean().item(), abs=1e-5)
    assert scored.log_probs == pytest.approx(logs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist(), abs=1e-5)


@torch.no_grad()
def test_a_copied_model_normalises_by_its_own_head():
    import copy

    model, golden = golden_model("norm_head"), expected("norm_head")
    twin = copy.deepcopy(model)
    model.lm_head.weight.zero_()
    twin.lm_head.weight.mul_(3.0)  # which the norm takes out again
    logits = twin(input_ids=golden["input_ids"][:1]).logits
    torch.testing.assert_close(logits, golden["train_logits"], **CLOSE)
    assert not model(input_ids=golden["input_ids"][:1]).logits.any()
