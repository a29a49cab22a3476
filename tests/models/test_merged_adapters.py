"""Adapters: merged into exactly what was adapted, and checked by the architecture before anything is trained."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_lm import tiny_model
from transformers import AutoModelForCausalLM

from ringlite_cli.errors import UserError
from ringlite_cli.models.adapters import merge_adapter, merged, merged_weights, merges_plainly, switched_off
from ringlite_cli.models.lora_targets import check_lora, lora_config, targets_as_given, with_adapter

IDS = torch.arange(3, 23)[None]
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("architecture", "fields"),
    [
        ("llama", {"target_modules": "all-linear"}),
        ("llama", {"target_modules": ["embed_tokens"]}),
        ("llama", {"target_modules": ["embed_tokens", "q_proj"]}),
        ("llama", {"target_modules": ["lm_head"]}),
        ("llama", {"target_modules": ["lm_head", "embed_tokens"]}),
        ("llama", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
        ("llama", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}),
        ("qwen3_moe", {"target_modules": ["q_proj"], "target_parameters": EXPERTS}),
        ("ernie4_5_moe", {"target_modules": "all-linear", "target_parameters": EXPERTS}),
    ],
)
def test_written_logits_are_those_of_the_adapted_model(tmp_path, architecture, fields, tied):
    torch.manual_seed(3)
    model = tiny_model(architecture, tie_word_embeddings=tied)
    before = logits(model)
    config = LoraConfig(r=4, task_type="CAUSAL_LM", init_lora_weights=False, **fields)
    adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "modules_to_save" in name:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    expected = logits(adapted)
    assert (expected - before).abs().max() > 1e-3
    merged(adapted).save_pretrained(tmp_path)
    written = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(written), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "fields", "message"),
    [
        ("llama", {"target_modules": ["query_key_value"]}, "'query_key_value' is in no layer .*linear layers are down"),
        ("llama", {"target_modules": ["q_proj", "W_pack"]}, "'W_pack' is in no layer"),
        ("llama", {"target_modules": r".*\.attention\..*"}, "matches no module"),
        ("llama", {"target_modules": "q_proj"}, r"'q_proj' matches no module .*write \[q_proj\]"),
        ("llama", {"target_modules": "(["}, "no regular expression"),
        ("llama", {"target_modules": ["lm_head"]}, "adapter of the language-model head"),
        ("llama", {"target_modules": r".*(q_proj|lm_head)"}, "adapter of the language-model head"),
        ("llama", {"target_parameters": ["mlp.experts.down_proj"]}, "is in no layer .*has no stacked experts"),
        ("qwen3_moe", {"target_parameters": ["experts.w1"]}, r"stacked experts are mlp.experts.down_proj"),
        ("llama", {"target_modules": ["input_layernorm"]}, "peft refuses"),
    ],
)
def test_targets_that_cannot_be_adapted_are_named(architecture, fields, message):
    with pytest.raises(UserError, match=message):
        check_lora(tiny_model(architecture).config, {"r": 4, **fields})


def test_an_engine_with_one_weight_for_embedding_and_head_takes_no_adapter_of_one():
    config = tiny_model("llama").config
    check_lora(config, {"target_modules": ["embed_tokens"]})
    with pytest.raises(UserError, match="would untie them"):
        check_lora(config, {"target_modules": ["embed_tokens"]}, uses_vllm=True)
    check_lora(
        tiny_model("llama", tie_word_embeddings=False).config, {"target_modules": ["embed_tokens"]}, uses_vllm=True
    )


def test_experts_without_an_adapter_are_told_of(caplog):
    check_lora(tiny_model("llama").config, {})
    assert not caplog.records
    check_lora(tiny_model("qwen3_moe").config, {"target_parameters": EXPERTS})
    assert not caplog.records
    check_lora(tiny_model("qwen3_moe").config, {"target_parameters": EXPERTS[1:]})
    assert "the experts (mlp.experts.gate_up_proj)" in caplog.text
    check_lora(tiny_model("qwen3_moe").config, {})
    assert "target_parameters: [mlp.experts.down_proj, mlp.experts.gate_up_proj] adapts them" in caplog.text


@pytest.mark.parametrize(
    ("architecture", "fields"),
    [
        ("llama", {"target_modules": "all-linear"}),
        ("llama", {"target_modules": ["embed_tokens", "q_proj"], "modules_to_save": ["lm_head"]}),
        ("qwen3_moe", {"target_modules": ["q_proj"], "target_parameters": EXPERTS}),
    ],
)
def test_weights_for_an_engine_are_those_that_are_written_and_frozen_ones_stay(architecture, fields):
    """In bfloat16, where adding an adapter to the weights and taking it away again would change them."""
    torch.manual_seed(3)
    model = tiny_model(architecture, tie_word_embeddings=False).to(torch.bfloat16)
    adapted = get_peft_model(model, LoraConfig(r=4, task_type="CAUSAL_LM", init_lora_weights=False, **fields))
    before = {name: x.clone() for name, x in adapted.named_parameters()}
    for _ in range(3):
        sent = {name: x.clone() for name, x in merged_weights(adapted)}
    assert all(torch.equal(x, before[name]) for name, x in adapted.named_parameters())
    written = merged(adapted)
    assert sent.keys() == {name for name, _ in written.named_parameters()}
    for name, parameter in written.named_parameters():
        assert torch.equal(parameter, sent[name]), name
        assert parameter.dtype == sent[name].dtype


def test_merged_weights_are_rounded_once():
    model = tiny_model("llama").to(torch.bfloat16)
    adapted = get_peft_model(model, LoraConfig(r=4, task_type="CAUSAL_LM", init_lora_weights=False))
    layer = adapted.get_base_model().model.layers[0].self_attn.q_proj
    exact = layer.base_layer.weight.double() + layer.get_delta_weight("default").double()
    sent = dict(merged_weights(adapted))["model.layers.0.self_attn.q_proj.weight"]
    gap = exact.abs() * torch.finfo(torch.bfloat16).eps
    assert ((sent.double() - exact).abs() <= gap).all()  # one of the two neighbours; by chance, see test_rounding.py
    in_float16 = dict(merged_weights(adapted, torch.float16))["model.layers.0.self_attn.q_proj.weight"]
    assert in_float16.dtype == torch.float16
    assert ((in_float16.double() - exact).abs() <= exact.abs() * torch.finfo(torch.float16).eps + 6e-8).all()


def test_adapters_of_another_form_are_left_to_peft():
    for fields, plainly in (({}, True), ({"use_dora": True}, False), ({"lora_bias": True}, False)):
        config = LoraConfig(r=4, task_type="CAUSAL_LM", target_modules=["q_proj"], **fields)
        adapted = get_peft_model(tiny_model("llama", attention_bias=True), config)
        assert merges_plainly(adapted) is plainly
        expected = logits(adapted)
        torch.testing.assert_close(logits(merged(adapted)), expected, atol=1e-4, rtol=1e-4)


LLAMA4 = {
    "num_local_experts": 4,
    "num_experts_per_tok": 1,
    "head_dim": 8,
    "intermediate_size_mlp": 48,
    "interleave_moe_layer_step": 2,
    "tie_word_embeddings": False,
}
FALCON_H1 = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
LINEAR = {
    "qwen3_moe": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "qwen2_moe": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "shared_expert_gate"),
    "ernie4_5_moe": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "mixtral": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "llama4_text": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "falcon_h1": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "in_proj"),
}
"""Layers of each architecture that all-linear adapts."""
FIELDS = {"mixtral": {"num_local_experts": 4}, "llama4_text": LLAMA4, "falcon_h1": FALCON_H1}


def adapted_names(adapted):
    """The modules of an adapted model that hold an adapter, without the layer's number, and the ranks."""
    found = {
        name.partition(".lora_A")[0].rsplit(".", 1)[-1] for name, _ in adapted.named_parameters() if "lora_A" in name
    }
    return found, {p.shape[0] for name, p in adapted.named_parameters() if "lora_A" in name}


@pytest.mark.parametrize("architecture", LINEAR)
def test_all_linear_is_every_linear_layer_and_no_expert_or_router(architecture):
    """peft takes it for a mixture's router and experts, at twice the rank, in place of its dense layers."""
    model = tiny_model(architecture, **FIELDS.get(architecture, {}))
    check_lora(model.config, {})
    assert adapted_names(with_adapter(model, lora_config({"r": 4}))) == (set(LINEAR[architecture]), {4})
    with targets_as_given():
        adapted = get_peft_model(model, lora_config({"r": 4}))
    assert adapted_names(adapted) == (set(LINEAR[architecture]), {4})
    adapted(input_ids=IDS).logits.sum().backward()
    assert all(p.grad is not None for p in adapted.parameters() if p.requires_grad)


def test_layers_of_a_mixture_are_adapted_by_the_names_that_are_given():
    """Shared experts are linear layers: peft refuses up_proj without gate_proj, and takes both for all experts."""
    model = tiny_model("ernie4_5_moe")
    check_lora(model.config, {"target_modules": ["q_proj", "up_proj"]})
    found, _ = adapted_names(with_adapter(model, lora_config({"target_modules": ["q_proj", "up_proj"]})))
    assert found == {"q_proj", "up_proj"}


def test_layers_that_cannot_be_adapted_are_left_out_and_refused_by_name(caplog):
    router, kernel = tiny_model("llama4_text", **LLAMA4).config, tiny_model("falcon_h1", **FALCON_H1).config
    check_lora(router, {})
    check_lora(kernel, {})
    assert "all-linear leaves out router: peft can adapt no such layer of Llama4ForCausalLM" in caplog.text
    assert "all-linear leaves out out_proj" in caplog.text
    with pytest.raises(UserError, match=r"'router' \(Llama4Router\) does more than multiply by its weight"):
        check_lora(router, {"target_modules": ["q_proj", "router"]})
    with pytest.raises(
        UserError, match=r"'out_proj' is incompatible .*linear layers are down_proj, gate_proj, in_proj, k"
    ):
        check_lora(kernel, {"target_modules": ["q_proj", "out_proj"]})


def test_an_adapter_of_a_mixture_is_read_by_its_own_names_and_by_those_of_transformers_4(tmp_path):
    for name, fields in (("own", {}), ("of-4", {"target_modules": ["gate_proj", "up_proj", "down_proj"]})):
        model = tiny_model("ernie4_5_moe")
        config = lora_config({"r": 4, **fields})
        config.init_lora_weights = False
        if name == "own":
            with targets_as_given():
                adapted = get_peft_model(model, config)
        else:
            adapted = get_peft_model(model, config)  # which peft turns into the stacked experts
        adapted.save_pretrained(tmp_path / name)
        expected = logits(adapted)
        found = merge_adapter(tiny_model("ernie4_5_moe"), tmp_path / name)
        torch.testing.assert_close(logits(found), expected, atol=1e-4, rtol=1e-4)


def test_an_adapter_that_is_off_is_the_base_and_what_is_trained_stays():
    model = tiny_model("qwen3_moe")
    before = logits(model)
    fields = {"target_modules": ["embed_tokens", "q_proj"], "target_parameters": EXPERTS}
    adapted = get_peft_model(model, LoraConfig(r=4, task_type="CAUSAL_LM", init_lora_weights=False, **fields))
    frozen = next(p for name, p in adapted.named_parameters() if "lora_" in name)
    frozen.requires_grad_(False)
    trained, on = [p.requires_grad for p in adapted.parameters()], logits(adapted)
    with switched_off(adapted):
        assert [p.requires_grad for p in adapted.parameters()] == trained
        torch.testing.assert_close(logits(adapted), before)
    assert [p.requires_grad for p in adapted.parameters()] == trained
    assert torch.equal(logits(adapted), on)
    assert not torch.equal(on, before)
