"""Model folders that are not what their config says: mended and said so, or refused by name."""

import json
import logging
import struct

import pytest
import torch
from policies import write_tiny_policy
from safetensors.torch import load_file, save_file
from tiny_lm import tiny_model, tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from ringlite_cli.errors import UserError
from ringlite_cli.models.loading import check_model_files, load_checked
from ringlite_cli.train.base_model import compute_dtype, prepare_model, written_dtype

IDS = torch.arange(3, 23)[None]


def save_policy(folder, architecture, **config):
    """A tiny model with a chat template that ends the assistant's turns."""
    tiny_model(architecture, **config).save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['content'] }}{% if m['role'] == 'assistant' %}{{ ' <eos>' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    return folder


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def change_weights(folder, change):
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})
    return folder


def change_config(folder, **fields):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return folder


def mixed(weights):
    prefixes = ("_orig_mod.", "module._orig_mod.", "base_model.model.", "")
    return {prefixes[i % 4] + name: x for i, (name, x) in enumerate(sorted(weights.items()))}


NAMINGS = {
    "torch.compile": lambda w: {f"_orig_mod.{n}": x for n, x in w.items()},
    "ddp": lambda w: {f"module.{n}": x for n, x in w.items()},
    "nested": lambda w: {f"module._orig_mod.base_model.model.{n}": x for n, x in w.items()},
    "compiled layers": lambda w: {n.replace("layers.0.", "layers.0._orig_mod."): x for n, x in w.items()},
    "fsdp": lambda w: {n.replace("layers.1.", "_fsdp_wrapped_module.layers.1."): x for n, x in w.items()},
    "mixed": mixed,
    "an unknown wrapper": lambda w: {f"actor.policy_net.{n}": x for n, x in w.items()},
    "derived tensors": lambda w: w | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)},
}


@pytest.mark.parametrize("architecture", ["llama", "qwen3_moe"])
@pytest.mark.parametrize("naming", NAMINGS)
def test_names_of_wrappers_are_mended_and_said(tmp_path, architecture, naming, caplog):
    folder = save_policy(tmp_path / "model", architecture, tie_word_embeddings=False)
    expected = logits(AutoModelForCausalLM.from_pretrained(folder))
    change_weights(folder, NAMINGS[naming])
    base = prepare_model({"path": str(folder)}, [], tmp_path / "base", 1)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(base)), expected)
    assert ("saved under a wrapper's names" in caplog.text) == (naming != "derived tensors")


def without(weights, part):
    left = {name: x for name, x in weights.items() if part not in name}
    assert len(left) < len(weights)
    return left


BROKEN = {
    "a layer is missing": (lambda w: without(w, "layers.1."), "lacks .* tensors .*layers.1"),
    "an expert is missing": (lambda w: without(w, "experts.2."), "cannot be put|another shape|lacks"),
    "a norm is missing": (lambda w: without(w, "model.norm."), r"lacks 1 tensors \(model.norm.weight\)"),
    "a head is missing": (lambda w: without(w, "lm_head"), "no lm_head.weight"),
    "a layer too many": (
        lambda w: w | {"model.layers.2.input_layernorm.weight": torch.ones(32)},
        "holds 1 tensors that the model does not have",
    ),
    "another shape": (lambda w: w | {"model.norm.weight": torch.ones(16)}, r"model.norm.weight is \[16\]"),
    "missing under a prefix": (
        lambda w: {f"_orig_mod.{n}": x for n, x in without(w, "layers.1.").items()},
        "lacks .* tensors .*layers.1",
    ),
    "not a number": (
        lambda w: w | {"model.norm.weight": torch.full((32,), torch.nan)},
        "not finite numbers .*model.norm.weight",
    ),
    "infinite": (lambda w: w | {"model.norm.weight": torch.full((32,), torch.inf)}, "not finite numbers"),
    "an adapter inside": (
        lambda w: w | {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight": torch.ones(2, 32)},
        "adapter that was not merged",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_weights_that_are_not_the_configs_are_refused(tmp_path, fault):
    change, message = BROKEN[fault]
    folder = change_weights(save_policy(tmp_path / "model", "qwen3_moe", tie_word_embeddings=False), change)
    with pytest.raises(UserError, match=message):
        load_checked(folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_hidden_layers": 3}, "lacks .* tensors .*layers.2"),
        ({"num_hidden_layers": 1}, "holds .* tensors"),
        ({"vocab_size": 70}, r"embed_tokens.weight is \[64, 32\]"),
        ({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}, "lacks .* tensors"),
        ({"model_type": "qwen2"}, "names two architectures"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "not a causal language model"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised"),
        ({"model_type": "no_such_model"}, "config.json cannot be read"),
    ],
)
def test_a_config_of_another_model_is_refused_from_headers_alone(tmp_path, fields, message):
    folder = change_config(save_policy(tmp_path / "model", "llama"), **fields)
    with pytest.raises(UserError, match=message):
        check_model_files(folder)


def test_an_encoder_is_refused(tmp_path):
    model = tiny_model("bert", is_decoder=False)
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="not a causal language model"):
        check_model_files(tmp_path)


def test_files_that_are_cut_or_missing_are_refused(tmp_path):
    folder = tmp_path / "model"
    tiny_model("llama", tie_word_embeddings=False).save_pretrained(folder, max_shard_size="20KB")
    assert check_model_files(folder) is not None
    shards = sorted(folder.glob("model-*.safetensors"))
    whole = shards[0].read_bytes()
    shards[0].write_bytes(whole[:-100])
    with pytest.raises(UserError, match="cut short or damaged"):
        check_model_files(folder)
    shards[0].write_bytes(struct.pack("<Q", 1 << 40) + whole[8:])
    with pytest.raises(UserError, match="cut short or damaged"):
        check_model_files(folder)
    shards[0].unlink()
    with pytest.raises(UserError, match=f"1 of {len(shards)} weight files are missing"):
        check_model_files(folder)
    index = folder / "model.safetensors.index.json"
    index.write_text("{")
    with pytest.raises(UserError, match=r"index of the weights cannot be read"):
        check_model_files(folder)
    index.unlink()
    with pytest.raises(UserError, match=r"but no model.safetensors.index.json"):
        check_model_files(folder)
    for shard in shards[1:]:
        shard.unlink()
    with pytest.raises(UserError, match=r"no model.safetensors"):
        check_model_files(folder)


def test_settings_that_cannot_be_saved_are_mended(tmp_path, caplog):
    folder = save_policy(tmp_path / "model", "llama")
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.9, "top_p": 0.6, "eos_token_id": 56}))
    base = prepare_model({"path": str(folder)}, [], tmp_path / "base", 1)
    settings = GenerationConfig.from_pretrained(base)
    assert (settings.temperature, settings.do_sample, settings.eos_token_id) == (0.9, True, 56)
    assert "do_sample: true is added" in caplog.text
    (folder / "generation_config.json").write_text(
        json.dumps({"num_return_sequences": 4, "num_beams": 1, "eos_token_id": [56, 3], "return_dict_in_generate": 0})
    )
    base = prepare_model({"path": str(folder)}, [], tmp_path / "again", 1)
    assert GenerationConfig.from_pretrained(base).eos_token_id == [56, 3]


def test_a_padding_token_beyond_the_embedding_gives_way_to_the_end_token(tmp_path, caplog):
    folder = write_tiny_policy(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    base = prepare_model({"path": str(folder)}, [], tmp_path / "base", 1)
    assert AutoTokenizer.from_pretrained(base).pad_token == tokenizer.eos_token
    assert "padding token [PAD]" in caplog.text
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match="tokens beyond the model's embedding"):
        prepare_model({"path": str(folder)}, [], tmp_path / "again", 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("in_config", [True, False])
def test_a_checkpoint_keeps_its_number_format(tmp_path, dtype, in_config):
    folder = save_policy(tmp_path / "model", "llama")
    AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).save_pretrained(folder)
    if not in_config:
        change_config(folder, dtype=None)
    base = prepare_model({"path": str(folder), "dtype": "auto"}, [], tmp_path / "base", 1)
    name = str(dtype).removeprefix("torch.")
    assert {x.dtype for x in load_file(base / "model.safetensors").values()} == {dtype}
    assert written_dtype(base, "auto") == name
    assert compute_dtype(base, "auto") == ("float32" if name == "float32" else "bfloat16")


def test_an_adapters_folder_is_named_and_merges_into_its_base(tmp_path):
    from peft import LoraConfig, get_peft_model

    base = save_policy(tmp_path / "base", "llama")
    config = LoraConfig(r=4, target_modules=["q_proj", "embed_tokens"], init_lora_weights=False, task_type="CAUSAL_LM")
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    expected = logits(adapted)
    adapted.save_pretrained(tmp_path / "adapter")
    with pytest.raises(UserError, match=r"adapter: .*merged into the base"):
        check_model_files(tmp_path / "adapter")
    section = {"path": str(base), "adapter": str(tmp_path / "adapter")}
    written = prepare_model(section, [], tmp_path / "written", 1)
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(written)), expected, atol=1e-5, rtol=1e-5)
    other = save_policy(tmp_path / "other", "llama", hidden_size=48)
    with pytest.raises(UserError, match="adapter does not fit"):
        prepare_model(section | {"path": str(other)}, [], tmp_path / "again", 1)
    with pytest.raises(UserError, match="no adapter there"):
        prepare_model(section | {"adapter": str(base)}, [], tmp_path / "again", 1)


def test_a_network_is_made_once_a_config_and_no_check_changes_it(tmp_path):
    from peft import LoraConfig, get_peft_model

    from ringlite_cli.models.sizes import network_without_weights
    from ringlite_cli.recipe.schema import Model
    from ringlite_cli.stages.preflight.adapter import adapter_fits

    base = save_policy(tmp_path / "base", "llama")
    config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(tmp_path / "adapter")
    model = Model(path=str(base), adapter=str(tmp_path / "adapter"))
    network = network_without_weights(model)
    names = [name for name, _ in network.named_parameters()]
    assert list(adapter_fits(model)) == []
    assert network_without_weights(model) is network
    assert [name for name, _ in network.named_parameters()] == names
    change_config(base, hidden_size=48)
    assert network_without_weights(model).config.hidden_size == 48


def test_a_sound_folder_is_taken_without_a_word(tmp_path, caplog):
    for architecture in ("llama", "qwen3_moe", "ernie4_5_moe", "gpt2", "gpt_oss"):
        tiny_model(architecture).save_pretrained(tmp_path / architecture)
        with caplog.at_level(logging.WARNING):
            fit = check_model_files(tmp_path / architecture)
        assert fit is not None
        assert not fit.renames
        assert not fit.notes
    assert not [record for record in caplog.records if record.name.startswith("ringlite")]
