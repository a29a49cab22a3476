"""Adapters: merged into exactly what was adapted, and checked by the architecture before anything is trained."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_lm import tiny_model
from transformers import AutoModelForCausalLM

from ringlite_cli.errors import UserError
from ringlite_cli.models.adapters import merged, merged_weights, merges_plainly
from ringlite_cli.models.lora_targets import check_lora

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
    assert torch.equal(sent, exact.to(torch.bfloat16))


def test_adapters_of_another_form_are_left_to_peft():
    for fields, plainly in (({}, True), ({"use_dora": True}, False), ({"lora_bias": True}, False)):
        config = LoraConfig(r=4, task_type="CAUSAL_LM", target_modules=["q_proj"], **fields)
        adapted = get_peft_model(tiny_model("llama", attention_bias=True), config)
        assert merges_plainly(adapted) is plainly
        expected = logits(adapted)
        torch.testing.assert_close(logits(merged(adapted)), expected, atol=1e-4, rtol=1e-4)
