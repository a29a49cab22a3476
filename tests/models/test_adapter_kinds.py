"""Every kind of LoRA that peft makes: merged without loss, trained against the right reference, or refused."""

import copy

import pytest
import torch
from peft import LoHaConfig, LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from test_merged_adapters import IDS, logits
from tiny_lm import tiny_model

from ringlite_cli.errors import UserError
from ringlite_cli.models.adapter_kinds import check_shareable, check_trainable
from ringlite_cli.models.adapters import check_stays_tied, merge_adapter, merged, merged_weights, switched_off

WITH_BIAS, UNTIED = {"attention_bias": True}, {"tie_word_embeddings": False}
GPT2 = {"n_embd": 128, "n_head": 4, "n_layer": 2, "n_positions": 64}
COLUMNS = {"fan_in_fan_out": True, "target_modules": ["c_attn", "c_proj", "c_fc"]}
MERGED = {
    "plain": ("llama", {}, {}),
    "rank-stabilised": ("llama", {"use_rslora": True}, {}),
    "ranks": ("llama", {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 17}}, {}),
    "one-layer": ("llama", {"layers_to_transform": [1], "target_modules": ["q_proj"]}, {}),
    "dora": ("llama", {"use_dora": True}, {}),
    "dora-of-both-ends": ("llama", {"use_dora": True, "target_modules": ["embed_tokens", "q_proj"]}, UNTIED),
    "dora-of-conv1d": ("gpt2", {"use_dora": True, **COLUMNS}, GPT2),
    "conv1d": ("gpt2", COLUMNS, GPT2),
    "bias-all": ("llama", {"bias": "all"}, WITH_BIAS),
    "own-biases": ("llama", {"lora_bias": True, "target_modules": ["q_proj", "v_proj"]}, WITH_BIAS),
    "saved-ends": ("llama", {"modules_to_save": ["lm_head", "embed_tokens"]}, UNTIED),
    "saved-head-of-a-pair": ("llama", {"modules_to_save": ["lm_head"]}, {}),
    "tokens": ("llama", {"trainable_token_indices": [3, 4, 5]}, UNTIED),
    "minor-components": ("llama", {"init_lora_weights": "mica"}, {}),
    "main-components": ("llama", {"init_lora_weights": "pissa"}, {}),
    "orthonormal": ("llama", {"init_lora_weights": "olora"}, {}),
}
WIDE = {"hidden_size": 128, "intermediate_size": 128}


def adapted_model(architecture, fields, config):
    """A base whose weights are numbers of bfloat16, and the same with an adapter on it; both in float32."""
    base = tiny_model(architecture, **(config if architecture == "gpt2" else WIDE | config)).bfloat16().float()
    lora = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"} | fields
    return base, get_peft_model(copy.deepcopy(base), LoraConfig(task_type="CAUSAL_LM", **lora))


def move(adapted, size):
    torch.manual_seed(3)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data.add_(size * torch.randn_like(parameter))


@pytest.mark.parametrize("kind", MERGED)
def test_a_folder_s_adapter_and_the_engine_s_weights_are_the_adapted_model_in_float32(tmp_path, kind):
    base, adapted = adapted_model(*MERGED[kind])
    before = logits(adapted)
    move(adapted, 0.02)
    expected = logits(adapted)
    assert (expected - before).abs().max() > 1e-2
    adapted.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(merge_adapter(copy.deepcopy(base), tmp_path)), expected, atol=1e-4, rtol=1e-4)
    held = {name: x.clone() for name, x in adapted.named_parameters()}
    sent = dict(merged_weights(adapted))
    assert all(torch.equal(x, held[name]) for name, x in adapted.named_parameters())
    written = merged(adapted)
    torch.testing.assert_close(logits(written), expected, atol=1e-4, rtol=1e-4)
    if kind != "saved-head-of-a-pair":  # refused where vLLM gets weights, see below
        assert sent.keys() == {name for name, _ in written.named_parameters()}
        assert all(torch.equal(x, sent[name]) for name, x in written.named_parameters())


@pytest.mark.parametrize("kind", [name for name in MERGED if name != "saved-head-of-a-pair"])
def test_a_small_adapter_of_any_kind_stays_in_16_bits_in_the_mean(tmp_path, kind):
    """What peft merges to the nearest numbers is a tenth or less of it, and of an embedding's DoRA a half."""
    base, adapted = adapted_model(*MERGED[kind])
    adapted(input_ids=IDS).logits.log_softmax(-1)[0, :-1].gather(-1, IDS[0, 1:, None]).mean().backward()
    for parameter in adapted.parameters():
        if parameter.grad is not None:
            parameter.data.add_(3e-5 * parameter.grad.sign())
    adapted.save_pretrained(tmp_path)
    start, exact = dict(base.named_parameters()), dict(copy.deepcopy(adapted).merge_and_unload().named_parameters())
    for found in (merge_adapter(copy.deepcopy(base).bfloat16(), tmp_path), merged(adapted, torch.bfloat16)):
        got = dict(found.named_parameters())
        sums = torch.zeros(3, dtype=torch.float64)
        for name, weight in exact.items():
            if weight.dim() > 1:
                added = (weight - start[name]).double()
                moves = [x.double() - start[name] for x in (got[name].float(), weight.bfloat16().float(), weight)]
                sums += torch.stack([(moved * added).sum() for moved in moves])
        kept, nearest, whole = sums.tolist()
        assert 0.8 < kept / whole < 1.2
        assert nearest / whole < 0.6


@pytest.mark.parametrize("saved", [["lm_head"], ["norm", "input_layernorm"]])
def test_the_reference_is_the_base_where_whole_modules_are_trained(saved):
    base, adapted = adapted_model("llama", {"modules_to_save": saved}, UNTIED)
    move(adapted, 0.02)
    with switched_off(adapted):
        assert torch.equal(logits(adapted), logits(base))
    assert not torch.equal(logits(adapted), logits(base))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LoraConfig(r=4, init_lora_weights="pissa_niter_4"), "init_lora_weights: pissa_niter_4 took .* not the same"),
        (LoraConfig(r=4, layer_replication=[(0, 2), (0, 2)]), "layer_replication makes more of the adapter"),
        (LoraConfig(r=4, alora_invocation_tokens=[7]), "alora_invocation_tokens makes more of the adapter"),
        (LoHaConfig(r=4), "an adapter of the kind LOHA, and LoRA is merged alone; merge it by peft"),
        (PrefixTuningConfig(num_virtual_tokens=4), "an adapter of the kind PREFIX_TUNING"),
    ],
)
def test_a_folder_s_adapter_that_would_be_merged_wrongly_is_refused(tmp_path, config, message):
    config.task_type, config.target_modules = "CAUSAL_LM", ["q_proj"]
    get_peft_model(tiny_model("llama"), config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=message):
        merge_adapter(tiny_model("llama"), tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LoraConfig(bias="all"), "bias: all trains biases of the model itself"),
        (LoraConfig(init_lora_weights="pissa"), "init_lora_weights: pissa changes the weights under the adapter"),
        (LoraConfig(init_lora_weights="olora"), "init_lora_weights: olora changes the weights"),
    ],
)
def test_an_adapter_without_which_the_model_is_no_reference_is_trained_without_a_reference(config, message):
    with pytest.raises(UserError, match=message):
        check_trainable("model", config, has_reference=True, uses_vllm=False)
    check_trainable("model", config, has_reference=False, uses_vllm=True)


def test_adapters_that_packed_rows_or_an_engine_cannot_have_are_refused():
    for config, vllm, message in (
        (PrefixTuningConfig(num_virtual_tokens=4), False, "learned before a prompt are not in packed rows"),
        (LoraConfig(alora_invocation_tokens=[7]), False, "not known in packed rows; leave alora_invocation_tokens out"),
        (LoHaConfig(r=4), True, "kind LOHA cannot be given to vLLM merged"),
        (LoraConfig(layer_replication=[(0, 2), (0, 2)]), True, "layers that are repeated"),
    ):
        with pytest.raises(UserError, match=message):
            check_trainable("model", config, has_reference=False, uses_vllm=vllm)
    check_trainable("model", LoHaConfig(r=4), has_reference=True, uses_vllm=False)
    adapted = get_peft_model(tiny_model("llama"), LoraConfig(bias="all", target_modules=["q_proj"]))
    with pytest.raises(UserError, match="bias: all"):
        check_trainable(adapted, None, has_reference=True, uses_vllm=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"target_modules": ["embed_tokens"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    ],
)
def test_an_engine_gets_no_weights_of_ends_that_an_adapter_took_apart(fields):
    config = LoraConfig(r=4, task_type="CAUSAL_LM", **fields)
    with pytest.raises(UserError, match=r"tied to the head, .*; vLLM holds one weight for both"):
        check_stays_tied(get_peft_model(tiny_model("llama"), config))
    check_stays_tied(get_peft_model(tiny_model("llama", **UNTIED), copy.deepcopy(config)))
    alike = {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True, "target_modules": ["q_proj"]}
    check_stays_tied(get_peft_model(tiny_model("llama"), LoraConfig(task_type="CAUSAL_LM", **alike)))


def test_an_adapter_of_another_name_beside_one_that_is_not_in_use(tmp_path):
    """As TRL keeps the adapter that a run began with, under the name `ref`."""
    fields = {"r": 4, "task_type": "CAUSAL_LM", "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}
    adapted = PeftModel(tiny_model("llama", **UNTIED), LoraConfig(**fields), adapter_name="mine")
    adapted.add_adapter("ref", LoraConfig(**fields))
    move(adapted, 0.05)
    sent, expected = dict(merged_weights(adapted)), logits(adapted)
    again = tiny_model("llama", **UNTIED)
    assert sent.keys() == {name for name, _ in again.named_parameters()}
    again.load_state_dict(sent)
    torch.testing.assert_close(logits(again), expected, atol=1e-4, rtol=1e-4)


def test_a_trained_copy_of_the_head_is_not_shared_out():
    """On two ranks with FSDP2 its gradient was each rank's own: a norm of 2.610, where one rank has 2.583."""
    for saved in ("lm_head", "norm", "embed_tokens"):
        config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=[saved])
        adapted = get_peft_model(tiny_model("llama", **UNTIED), config)
        if saved == "lm_head":
            with pytest.raises(UserError, match="would not add up the gradients of a head in modules_to_save"):
                check_shareable(adapted)
        else:
            check_shareable(adapted)
