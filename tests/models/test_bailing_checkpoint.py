"""The published layout loads and saves unchanged, and what does not fit is refused in words."""

import json
import re

import pytest
import torch
from bailing import GOLDEN, KINDS, changed_copy, expected, golden_model, stored, with_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from ringlite_cli.__main__ import run
from ringlite_cli.chat.templates import ChatOptions
from ringlite_cli.errors import UserError
from ringlite_cli.models import refuse_needless_trust
from ringlite_cli.models.bailing_moe import BailingMoeConfig
from ringlite_cli.models.bailing_moe.checkpoint import published_shapes
from ringlite_cli.sampling.load import load_model
from ringlite_cli.train.base_model import prepare_model

LAYER = "model.layers.1."
REMOTE = {
    "AutoConfig": "configuration_bailing_moe.BailingMoeConfig",
    "AutoModelForCausalLM": "modeling_bailing_moe.BailingMoeForCausalLM",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shards", ["1GB", "300KB"])
def test_saving_what_was_loaded_changes_no_tensor_and_no_name(kind, shards, tmp_path):
    golden_model(kind).save_pretrained(tmp_path / "once", max_shard_size=shards)
    AutoModelForCausalLM.from_pretrained(tmp_path / "once").save_pretrained(tmp_path / "twice", max_shard_size=shards)
    assert (tmp_path / "once" / "model.safetensors.index.json").is_file() == (shards == "300KB")
    original = stored(GOLDEN / kind)
    for folder in ("once", "twice"):
        saved = stored(tmp_path / folder)
        assert saved.keys() == original.keys()
        assert all(torch.equal(saved[name], tensor) for name, tensor in original.items())


def test_the_published_shapes_are_those_of_the_model():
    config = AutoConfig.from_pretrained(GOLDEN / "ling_like")
    tensors = stored(GOLDEN / "ling_like")
    assert published_shapes(config) == {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def test_a_dense_bottom_biases_and_no_shared_experts_fit_their_checkpoint_too(tmp_path):
    config = AutoConfig.from_pretrained(
        GOLDEN / "ling_like", first_k_dense_replace=1, use_qkv_bias=True, use_bias=True, num_shared_experts=0
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    saved = stored(tmp_path)
    assert published_shapes(config) == {name: tuple(tensor.shape) for name, tensor in saved.items()}
    assert saved["model.layers.0.mlp.up_proj.weight"].shape == (96, 64)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(again.model.layers[2].attention.dense.bias, saved["model.layers.2.attention.dense.bias"])


def test_the_config_is_read_and_written_as_published(tmp_path):
    AutoConfig.from_pretrained(changed_copy(tmp_path / "in", auto_map=REMOTE)).save_pretrained(tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    published = json.loads((GOLDEN / "ling_like" / "config.json").read_text(encoding="utf-8"))
    ours = BailingMoeConfig.__annotations__.keys() & published.keys()
    assert len(ours) > 15
    assert {name: saved[name] for name in ours} == {name: published[name] for name in ours}
    assert saved["rope_theta"] == published["rope_theta"]
    assert saved["rope_parameters"]["rope_theta"] == 600_000
    assert "auto_map" not in saved  # the folder holds no code
    again = AutoConfig.from_pretrained(tmp_path / "out")
    assert again.rope_parameters["rope_theta"] == 600_000


def test_the_code_beside_the_weights_is_neither_needed_nor_read(tmp_path):
    folder = changed_copy(tmp_path, auto_map=REMOTE)
    (folder / "modeling_bailing_moe.py").write_text("raise RuntimeError('read')", encoding="utf-8")
    (folder / "configuration_bailing_moe.py").write_text("raise RuntimeError('read')", encoding="utf-8")
    for trust in (None, False, True):
        model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=trust)
        assert type(model).__module__ == "ringlite_cli.models.bailing_moe.modeling"


def test_a_tokenizer_published_with_code_is_read_without_it(tmp_path):
    folder = with_tokenizer(changed_copy(tmp_path))
    file = folder / "tokenizer_config.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    auto_map = {"AutoTokenizer": ["tokenization_bailing.BailingTokenizer", None]}
    file.write_text(
        json.dumps(fields | {"tokenizer_class": "BailingTokenizer", "auto_map": auto_map}), encoding="utf-8"
    )
    assert AutoTokenizer.from_pretrained(folder)("w3 w4")["input_ids"] == [3, 4]


def drop(*names):
    return lambda tensors: [tensors.pop(name) for name in names]


def add(name, like):
    return lambda tensors: tensors.__setitem__(name, tensors[like].clone())


def moved_expert(tensors):
    """As many tensors as there should be, but one expert under another number."""
    for part in ("gate", "up", "down"):
        tensors[f"{LAYER}mlp.experts.8.{part}_proj.weight"] = tensors.pop(f"{LAYER}mlp.experts.3.{part}_proj.weight")


EXPERT = f"{LAYER}mlp.experts.3.gate_proj.weight"
FAULTS = {
    "an expert's matrix is missing": (drop(EXPERT), {}, rf"lacks {EXPERT}.*incomplete"),
    "a norm is missing": (drop(f"{LAYER}input_layernorm.weight"), {}, r"lacks model.layers.1.input_layernorm.weight"),
    "an expert has another number": (moved_expert, {}, r"lacks .*experts.3.*and holds too much: .*experts.8"),
    "a tensor too much": (add("model.mtp.weight", "model.norm.weight"), {}, r"holds too much: model.mtp.weight"),
    "fewer layers than stored": (None, {"num_hidden_layers": 2}, r"holds too much: model.layers.2.* and 29 more"),
    "another width": (None, {"moe_intermediate_size": 64}, r"has the shape \[.*where config.json makes it \["),
    "no head, not tied": (drop("lm_head.weight"), {}, r"no lm_head.weight.*set tie_word_embeddings: true"),
    "tied, but with a head": (None, {"tie_word_embeddings": True}, r"is not the embeddings' weight.*false"),
    "named as Ling 2.0": (
        None,
        {"architectures": ["BailingMoeV2ForCausalLM"]},
        r"n_group: 8 leaves one expert a group",
    ),
    "an unknown one": (None, {"architectures": ["BailingMoeV9ForCausalLM"]}, r"BailingMoeV9.*Ring-lite"),
    "linear attention": (None, {"model_type": "bailing_moe_linear"}, r"linear attention.*supported are Ling-lite"),
    "expert groups": (None, {"n_group": 8}, r"'n_group: 8' belongs to another Bailing architecture"),
    "sliding window": (None, {"use_sliding_window": True}, r"'use_sliding_window: True'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_does_not_fit_is_refused(fault, tmp_path):
    change, config, message = FAULTS[fault]
    folder = changed_copy(tmp_path, "ling_like", change, **config)
    with pytest.raises(UserError, match=message):
        load_model(folder, dtype="float32", device="cpu")


@pytest.mark.parametrize(
    ("config", "override", "message"),
    [
        ({"model_type": "bailing_moe_linear_v2"}, "seed=17", r"model.path: .*config.json: bailing_moe_linear_v2 \("),
        ({"architectures": ["BailingMoeV9ForCausalLM"]}, "seed=17", r"BailingMoeV9ForCausalLM is another.*Ring-lite"),
        ({}, "model.trust_remote_code=true", r"model.trust_remote_code: bailing_moe is built in.*leave the key out"),
    ],
)
def test_the_recipe_is_refused_before_any_stage_runs(config, override, message, tmp_path, capsys):
    folder = changed_copy(tmp_path / "model", **config)
    recipe = tmp_path / "recipe.yaml"
    stage = "{kind: curate, sources: [{generator: arithmetic, rows: 20}], sets: {all: {split: train}}}"
    recipe.write_text(f"name: r\nmodel: {{path: {folder}}}\nstages: {{curate: {stage}}}\n", encoding="utf-8")
    for command in (["check"], ["plan"], ["run", "--runs-dir", str(tmp_path / "runs")]):
        assert run([command[0], str(recipe), "--set", override, *command[1:]]) == 2
        assert re.search(message, " ".join(capsys.readouterr().err.split()))
    assert not (tmp_path / "runs").exists()


def test_a_file_cut_short_is_named(tmp_path):
    file = changed_copy(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"not a whole safetensors file.*download it again"):
        load_model(tmp_path, dtype="float32", device="cpu")


def test_tied_embeddings_may_leave_the_head_out_or_repeat_it(tmp_path):
    same = add("lm_head.weight", "model.word_embeddings.weight")
    for name, change in {"left out": drop("lm_head.weight"), "repeated": same}.items():
        model = load_model(changed_copy(tmp_path / name, "ling_like", change, tie_word_embeddings=True))
        assert model.lm_head.weight is model.model.word_embeddings.weight


def test_remote_code_that_is_not_needed_is_refused(tmp_path):
    folder = with_tokenizer(changed_copy(tmp_path / "published", auto_map=REMOTE))
    section = {"path": str(folder), "trust_remote_code": True, "dtype": "float32"}
    with pytest.raises(UserError, match=r"trust_remote_code: bailing_moe is built in.*leave the key out"):
        prepare_model(section, [], tmp_path / "out", 1)
    chat = ChatOptions(end_token="<eos>")  # the tiny template writes none
    prepared = prepare_model(section | {"trust_remote_code": False}, [], tmp_path / "out", 1, chat=chat)
    golden, model = expected("ling_like"), load_model(prepared, dtype="float32", device="cpu")
    with torch.no_grad():
        logits = model(input_ids=golden["input_ids"][:1]).logits
    torch.testing.assert_close(logits, golden["train_logits"], atol=1e-5, rtol=1e-5)


def test_other_models_may_bring_code(tmp_path):
    from tiny_lm import save_policy

    refuse_needless_trust(str(save_policy(tmp_path, "llama")))
