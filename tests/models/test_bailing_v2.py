"""Ling 2.0 computes what the published code computed, and its checkpoints are read and written as published."""

import json
from pathlib import Path

import pytest
import torch
from bailing import stored
from bailing_v2 import EXTRA, GOLDEN, KINDS, base_like, changed_copy, expected, golden_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from ringlite_cli.c3po.packing import PackedSample, forward_inputs, pack_row
from ringlite_cli.c3po.router import RouterTap, check_router_is_visible, check_router_learns
from ringlite_cli.c3po.routing import Routing
from ringlite_cli.c3po.row_path import choose_path
from ringlite_cli.errors import UserError
from ringlite_cli.models.bailing_moe_v2.checkpoint import extra_shapes, published_shapes
from ringlite_cli.models.extra_layers import engine_folder
from ringlite_cli.models.loading import check_model_files, load_checked
from ringlite_cli.train.base_model import save_plain

CLOSE = {"atol": 5e-5, "rtol": 0}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.mark.parametrize("experts", ["eager", "grouped_mm"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@torch.no_grad()
def test_logits_and_hidden_states_of_a_left_padded_batch(kind, attention, experts):
    model, golden = golden_model(kind, attn_implementation=attention, experts_implementation=experts), expected(kind)
    real = golden["attention_mask"].bool()
    out = model(
        input_ids=golden["input_ids"],
        attention_mask=golden["attention_mask"],
        output_hidden_states=True,
        use_cache=False,
    )
    torch.testing.assert_close(out.logits[real], golden["eval_logits"][real], **CLOSE)
    final = model.model(input_ids=golden["input_ids"], attention_mask=golden["attention_mask"]).last_hidden_state
    torch.testing.assert_close(final[real], golden["hidden.final"][real], **CLOSE)


@pytest.mark.parametrize("experts", ["eager", "grouped_mm"])
def test_loss_logits_and_gradients_of_training(kind, experts):
    model, golden = golden_model(kind, experts_implementation=experts).train(), expected(kind)
    out = model(input_ids=golden["input_ids"][:1], labels=golden["input_ids"][:1])
    out.loss.backward()
    torch.testing.assert_close(out.loss, golden["train_loss"].reshape(()), **CLOSE)
    torch.testing.assert_close(out.logits, golden["train_logits"].reshape(out.logits.shape), **CLOSE)
    gradients = published(model, {name: p.grad for name, p in model.named_parameters()})
    names = [name.removeprefix("grad.") for name in golden if name.startswith("grad.")]
    assert len(names) > 12
    for name in names:
        wanted = golden[f"grad.{name}"]
        assert (gradients[name] - wanted).abs().max() <= 1e-5 * wanted.abs().max(), name


def published(model, tensors):
    from ringlite_cli.train.engine.weights import published_weights

    return dict(published_weights(model, tensors.items()))


@torch.no_grad()
def test_router_logits_choices_and_weights(kind):
    golden, model = expected(kind), golden_model(kind)
    told = []
    for layer in model.model.layers:
        if hasattr(layer.mlp, "gate"):
            layer.mlp.gate.register_forward_hook(lambda module, args, output: told.append(output))
    out = model.model(input_ids=golden["input_ids"][:1], output_router_logits=True)
    numbers = [int(name.rpartition(".")[2]) for name in golden if name.startswith("router_ids.") and "mtp" not in name]
    assert len(told) == len(out.router_logits) == len(numbers)
    for number, (logits, weights, experts), seen in zip(sorted(numbers), told, out.router_logits, strict=True):
        torch.testing.assert_close(seen.reshape(logits.shape), golden[f"router_logits.{number}"], **CLOSE)
        order, wanted = experts.sort(dim=-1), golden[f"router_ids.{number}"].long().sort(dim=-1)
        assert torch.equal(order.values, wanted.values)
        torch.testing.assert_close(
            weights.gather(-1, order.indices),
            golden[f"router_weights.{number}"].gather(-1, wanted.indices),
            **CLOSE,
        )


def test_the_router_is_counted_by_its_groups_and_learns(kind):
    model = golden_model(kind)
    tap = RouterTap(model)
    check_router_is_visible(model, tap)
    config = model.config
    assert tap.routing == Routing(config.num_experts_per_tok, "sigmoid", config.n_group, config.topk_group)
    check_router_learns(model, tap)


def test_greedy_tokens_of_a_padded_batch(kind):
    golden, model = expected(kind), golden_model(kind)
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 159}
    mask = golden["attention_mask"]
    batch = model.generate(golden["input_ids"], attention_mask=mask, **options)[:, golden["input_ids"].shape[1] :]
    assert batch[0].tolist() == golden["greedy"].reshape(-1).tolist()
    alone = model.generate(golden["input_ids"][1:, 5:], **options)[:, golden["input_ids"].shape[1] - 5 :]
    assert torch.equal(batch[1:], alone)


def test_packed_rows_and_checkpointing_give_what_samples_give_alone(kind):
    samples = [PackedSample(i, [7, 8 + i], list(range(10 + i, 22 + 3 * i)), 1.0) for i in range(3)]
    model = golden_model(kind).train()
    assert choose_path(model).attention == "ringlite_packed"
    model.gradient_checkpointing_enable()
    packed = model(**forward_inputs(model, pack_row(samples)), use_cache=False).logits[0]
    packed.logsumexp(-1).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.gradient_checkpointing_disable()
    alone = torch.cat([model(input_ids=torch.tensor([s.prompt + s.response])).logits[0] for s in samples])
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)
    alone.logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-4, rtol=1e-4)


def test_evaluation_mode_gives_the_same_gradients_as_training_mode(kind):
    """The published code trains no expert in evaluation mode; here the mode changes nothing."""
    grads = []
    for mode in (True, False):
        model = golden_model(kind).train(mode)
        ids = expected(kind)["input_ids"][:1]
        model(input_ids=ids, labels=ids).loss.backward()
        grads.append({name: p.grad for name, p in model.named_parameters()})
    assert all(grad is not None for grad in grads[1].values())
    for name, grad in grads[0].items():
        assert torch.equal(grad, grads[1][name]), name


@pytest.mark.parametrize("shards", ["1GB", "300KB"])
def test_saving_what_was_loaded_changes_no_tensor_and_no_name(kind, shards, tmp_path):
    golden_model(kind).save_pretrained(tmp_path / "once", max_shard_size=shards)
    AutoModelForCausalLM.from_pretrained(tmp_path / "once").save_pretrained(tmp_path / "twice", max_shard_size=shards)
    original = stored(GOLDEN / kind)
    for folder in ("once", "twice"):
        saved = stored(tmp_path / folder)
        assert saved.keys() == original.keys()
        assert all(torch.equal(saved[name], tensor) for name, tensor in original.items())


def test_the_published_shapes_are_those_of_the_model(kind, tmp_path):
    config = AutoConfig.from_pretrained(GOLDEN / kind)
    assert published_shapes(config) == {name: tuple(x.shape) for name, x in stored(GOLDEN / kind).items()}
    extra = AutoConfig.from_pretrained(base_like(tmp_path))
    assert extra_shapes(extra) == {name: tuple(x.shape) for name, x in load_file(EXTRA).items()}


def test_the_config_is_written_for_every_reader(tmp_path):
    """vLLM reads the published fields: without them it rotates whole heads, or scores by a softmax, without a word."""
    golden_model("mini_like").save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    published_fields = json.loads((GOLDEN / "mini_like" / "config.json").read_text(encoding="utf-8"))
    for name in published_fields.keys() - {"auto_map", "torch_dtype", "transformers_version"}:
        assert saved[name] == published_fields[name], name
    assert saved["rotary_dim"] == 16
    assert "auto_map" not in saved
    again = AutoConfig.from_pretrained(tmp_path)
    assert again.rope_parameters["rope_theta"] == 600_000
    assert type(again).__name__ == "BailingMoeV2Config"


@pytest.mark.parametrize(
    "spelling",
    [
        {"model_type": "bailing_moe_v2"},
        {"partial_rotary_factor": None, "rotary_dim": 16},
        {"partial_rotary_factor": None, "rope_parameters": {"rope_theta": 600000, "partial_rotary_factor": 0.5}},
        {"score_function": None, "use_rmsnorm": None},
    ],
)
@torch.no_grad()
def test_other_spellings_of_the_same_config(spelling, tmp_path):
    folder = changed_copy(tmp_path, **spelling)
    model, golden = AutoModelForCausalLM.from_pretrained(folder).eval(), expected("mini_like")
    logits = model(input_ids=golden["input_ids"][:1]).logits
    torch.testing.assert_close(logits, golden["eval_logits"][:1], **CLOSE)


@torch.no_grad()
def test_no_shared_experts_biases_and_a_single_expert_fit_their_checkpoint_too(tmp_path):
    config = AutoConfig.from_pretrained(
        GOLDEN / "mini_like", num_shared_experts=None, use_qkv_bias=True, use_bias=True, num_experts_per_tok=1
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(tmp_path)
    assert published_shapes(config) == {name: tuple(x.shape) for name, x in stored(tmp_path).items()}
    ids = torch.arange(9)[None]
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(input_ids=ids).logits, model(input_ids=ids).logits)
    gate = model.model.layers[1].mlp.gate
    logits, weights, experts = gate(torch.randn(5, 64))
    torch.testing.assert_close(weights, 2.5 * logits.sigmoid().gather(-1, experts))  # one expert keeps its weight


def test_the_bias_of_the_choice_stays_float32_in_a_bfloat16_model(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(GOLDEN / "mini_like", dtype=torch.bfloat16)
    name = "model.layers.1.mlp.gate.expert_bias"
    golden = stored(GOLDEN / "mini_like")[name]
    assert torch.equal(model.model.layers[1].mlp.gate.e_score_correction_bias, golden)
    assert not model.model.layers[1].mlp.gate.e_score_correction_bias.requires_grad
    model.save_pretrained(tmp_path)
    assert torch.equal(stored(tmp_path)[name], golden)
    save_plain(golden_model("mini_like"), _NoTokenizer(), tmp_path / "rounded", dtype="bfloat16")
    rounded = stored(tmp_path / "rounded")
    assert torch.equal(rounded[name], golden)
    assert rounded["model.layers.1.mlp.gate.weight"].dtype == torch.bfloat16


class _NoTokenizer:
    def save_pretrained(self, folder):
        pass


@torch.no_grad()
def test_a_layer_for_further_tokens_is_left_out_and_kept_when_saved(tmp_path):
    folder, golden = base_like(tmp_path / "base"), expected("mini_like")
    fit = check_model_files(folder)
    assert any("left out" in note and "model.layers.3." in note for note in fit.notes)
    model = load_checked(folder).eval()
    torch.testing.assert_close(model(input_ids=golden["input_ids"][:1]).logits, golden["eval_logits"][:1], **CLOSE)
    model.model.norm.weight.mul_(2)  # trained
    for shards in ("1GB", "300KB"):
        out = tmp_path / shards
        model.save_pretrained(out, max_shard_size=shards)
        saved, extra = stored(out), load_file(EXTRA)
        assert saved.keys() == stored(folder).keys()
        assert all(torch.equal(saved[name], tensor) for name, tensor in extra.items())
        assert json.loads((out / "config.json").read_text(encoding="utf-8"))["num_nextn_predict_layers"] == 1
        again = load_checked(out)  # and once more, from a folder that was saved here
        assert torch.equal(again.model.norm.weight, model.model.norm.weight)
        again.save_pretrained(tmp_path / f"again-{shards}")
        assert stored(tmp_path / f"again-{shards}").keys() == saved.keys()


def test_an_engine_is_given_a_folder_without_that_layer(tmp_path):
    base = base_like(tmp_path / "base")
    load_checked(base).save_pretrained(tmp_path / "saved", max_shard_size="300KB")
    for folder in (base, tmp_path / "saved"):
        with engine_folder(folder) as view:
            assert stored(Path(view)).keys() == stored(GOLDEN / "mini_like").keys()
            assert check_model_files(Path(view)).left_out == []
    with engine_folder(GOLDEN / "mini_like") as view:
        assert view == str(GOLDEN / "mini_like")


def drop(*names):
    return lambda tensors: [tensors.pop(name) for name in names]


def reshape(name, shape):
    return lambda tensors: tensors.__setitem__(name, torch.zeros(shape))


def add(name):
    return lambda tensors: tensors.__setitem__(name, torch.zeros(3))


BIAS = "model.layers.1.mlp.gate.expert_bias"
FAULTS = {
    "an expert's matrix is missing": (drop("model.layers.2.mlp.experts.3.up_proj.weight"), {}, r"experts.3.up_proj"),
    "the router's bias is missing": (drop(BIAS), {}, rf"lacks {BIAS}"),
    "a bias of another length": (reshape(BIAS, (15,)), {}, r"expert_bias has the shape \[15\].*makes it \[16\]"),
    "a query norm is missing": (drop("model.layers.0.attention.query_layernorm.weight"), {}, r"query_layernorm"),
    "a tensor too much": (add("model.layers.1.mlp.gate.bias"), {}, r"holds too much: model.layers.1.mlp.gate.bias"),
    "a layer too much": (add("model.layers.3.input_layernorm.weight"), {}, r"model.layers.3.input_layernorm"),
    "no head": (drop("lm_head.weight"), {}, r"no lm_head.weight.*tie_word_embeddings: true"),
    "softmax": (None, {"score_function": "softmax"}, r"'score_function: softmax' is not what Ling 2.0"),
    "an unknown score": (None, {"score_function": "tanh"}, r"'score_function: tanh'"),
    "not normalised": (None, {"norm_topk_prob": False}, r"'norm_topk_prob: False'"),
    "groups that do not divide": (None, {"n_group": 5}, r"num_experts: 16 cannot be cut into n_group: 5"),
    "no groups": (None, {"n_group": 0}, r"n_group: 0"),
    "more groups kept than there are": (None, {"topk_group": 9}, r"topk_group: 9 is not between 1 and n_group: 4"),
    "more experts than kept": (None, {"num_experts_per_tok": 9}, r"num_experts_per_tok: 9 is more than"),
    "biases that are not there": (None, {"use_qkv_bias": True}, r"lacks .*query_key_value.bias"),
    "two rotated parts": (None, {"rotary_dim": 8}, r"rotate different parts of a head of 32"),
    "two extra layers": (None, {"num_nextn_predict_layers": 2}, r"no published model has more than one"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_does_not_fit_is_refused(fault, tmp_path):
    change, config, message = FAULTS[fault]
    folder = changed_copy(tmp_path, "mini_like", change, **config)
    for read in (check_model_files, load_checked):
        with pytest.raises(UserError, match=message):
            read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("model.layers.3.eh_proj.weight"), r"lacks model.layers.3.eh_proj.weight"),
        (drop("model.layers.3.mlp.experts.7.down_proj.weight"), r"lacks model.layers.3.mlp.experts.7"),
        (reshape("model.layers.3.enorm.weight", (63,)), r"model.layers.3.enorm.weight has the shape \[63\]"),
        (add("model.layers.3.fnorm.weight"), r"holds too much: model.layers.3.fnorm.weight"),
        (add("model.layers.4.enorm.weight"), r"model.layers.4.enorm.weight"),
    ],
)
def test_an_extra_layer_that_is_not_whole_is_refused(change, message, tmp_path):
    folder = base_like(tmp_path, change)
    for read in (check_model_files, load_checked):
        with pytest.raises(UserError, match=message):
            read(folder)
