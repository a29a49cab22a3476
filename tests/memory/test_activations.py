"""What the plan says of activations and of the head, beside the bytes that are alive in a real pass on a CPU.

A CPU has neither flash attention nor fused norms: plain kernels are what is compared; those of a GPU keep less.
"""

from dataclasses import replace

import pytest
import torch
from live_bytes import Live
from peft import LoraConfig, get_peft_model
from tiny_lm import tiny_model
from transformers import AutoConfig, AutoModelForCausalLM

from ringlite_cli.memory import tried
from ringlite_cli.memory.asked import scores_kept
from ringlite_cli.memory.held import Shape, Training, held_parts, update_parts
from ringlite_cli.memory.rows import activation_bytes
from ringlite_cli.memory.shapes import shape_of
from ringlite_cli.memory.tried import bytes_of_token
from ringlite_cli.models import register
from ringlite_cli.models.lora_targets import with_adapter

SIZES = {"hidden_size": 128, "intermediate_size": 384, "num_attention_heads": 4, "num_key_value_heads": 2}
MIXTURE = SIZES | {"moe_intermediate_size": 96, "num_experts": 8, "num_experts_per_tok": 4, "head_dim": 32}
LAYERS = 6


LATENT = {
    "kv_lora_rank": 32, "q_lora_rank": 48, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 48,
    "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "num_key_value_heads": 4, "n_shared_experts": 1,
    "n_routed_experts": 8, "num_experts_per_tok": 4, "moe_intermediate_size": 96,
}  # fmt: skip
FEW = {"intermediate_size": 96, "num_local_experts": 8, "num_experts_per_tok": 4}
OTHERS = {
    "deepseek_v3": SIZES | LATENT,
    "granitemoe": SIZES | FEW,
    "olmoe": SIZES | {"intermediate_size": 96, "num_experts": 8, "num_experts_per_tok": 4},
    "mixtral": SIZES | FEW,
    "minimax_m2": SIZES | FEW | {"head_dim": 32},
    "deepseek_v2": SIZES | LATENT | {"topk_method": "greedy"},
    **{name: SIZES | {"head_dim": 32} for name in ("gemma2", "gemma3_text", "glm4", "olmo2", "phi3")},
}
"""Families whose attention, norms or names of sizes are their own."""


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("architecture", OTHERS)
def test_activations_of_other_families_are_within_15_percent_too(architecture, checkpointing):
    model = tiny_model(architecture, num_hidden_layers=LAYERS, **OTHERS[architecture]).train()
    if "num_experts_per_tok" in OTHERS[architecture]:
        model.set_experts_implementation("grouped_mm")
    model = model.to(torch.bfloat16)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    counted = (peak_of(model, 320) - peak_of(model, 192)) / 128
    planned = activation_bytes(shape_of(model).config, checkpointing=checkpointing)
    assert planned == pytest.approx(counted, rel=0.15)


EAGER = {
    "gpt_oss": SIZES | FEW | {"head_dim": 32, "sliding_window": 64},
    "llama": SIZES,
    "gemma2": SIZES | {"head_dim": 32},
}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("architecture", EAGER)
def test_the_scores_that_eager_attention_keeps_are_counted_by_the_length_of_a_sample(architecture, checkpointing):
    model = tiny_model(architecture, num_hidden_layers=LAYERS, **EAGER[architecture]).train()
    model.set_attn_implementation("eager")
    if architecture == "gpt_oss":
        model.set_experts_implementation("grouped_mm")
    model = model.to(torch.bfloat16)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    config = shape_of(model).config
    few, many = 384, 768
    counted = peak_of(model, many) - peak_of(model, few)
    planned, without = (
        many * activation_bytes(config, checkpointing=checkpointing, scores=many * kept)
        - few * activation_bytes(config, checkpointing=checkpointing, scores=few * kept)
        for kept in (1, 0)
    )
    assert planned == pytest.approx(counted, rel=0.15)
    assert without < 0.7 * counted


def test_attention_is_eager_where_the_architecture_or_the_recipe_says_so():
    gpt_oss, llama = (shape_of(tiny_model(name)).config for name in ("gpt_oss", "llama"))
    assert [scores_kept(gpt_oss, name, 100) for name in (None, "eager", "flash_attention_3")] == [100, 100, 0]
    assert [scores_kept(llama, name, 100) for name in (None, "eager", "sdpa")] == [0, 100, 0]
    how = Training(row_tokens=1000, scores=100)
    shape = Shape(10**6, 10**6, 1, 1, gpt_oss)
    more = update_parts(shape, how)["activations"] - update_parts(shape, Training(row_tokens=1000))["activations"]
    heads, layers = gpt_oss.num_attention_heads, gpt_oss.num_hidden_layers
    assert more == 1000 * (layers * 2 * heads * 100 + int(2.6 * heads * 100))


def model_of(architecture, *, wide, lora, checkpointing):
    """A model as it is trained: in bfloat16 as FSDP2 computes with it, or in float32 under autocast."""
    register()
    model = tiny_model(architecture, num_hidden_layers=LAYERS, **(MIXTURE if "moe" in architecture else SIZES)).train()
    if "moe" in architecture:
        model.set_experts_implementation("grouped_mm")  # as on a GPU
    if not wide:
        model = model.to(torch.bfloat16)
    if lora:
        model = get_peft_model(model, LoraConfig(r=4, task_type="CAUSAL_LM", target_modules="all-linear"))
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def peak_of(model, tokens):
    """Bytes alive at most in a pass and its backward, without weights; their gradients are dropped as they come."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda p: setattr(p, "grad", None))
    decoder = getattr(model, "get_base_model", lambda: model)().model
    ids = torch.arange(tokens)[None] % 50
    with Live([*model.parameters(), *model.buffers()]) as live:
        with torch.autocast("cpu", torch.bfloat16):
            loss = decoder(input_ids=ids, use_cache=False).last_hidden_state.float().sum()
        loss.backward()
    return live.peak


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(
    ("architecture", "how"),
    [
        *((name, "bf16") for name in ("llama", "qwen3", "qwen3_moe", "bailing_moe")),
        *((name, how) for name in ("llama", "bailing_moe") for how in ("wide", "lora")),
        *((name, "wide") for name in ("qwen3", "qwen3_moe", "mixtral")),
    ],
)
def test_activations_are_within_15_percent_of_what_is_alive_in_an_update(architecture, how, checkpointing):
    model = model_of(architecture, wide=how == "wide", lora=how == "lora", checkpointing=checkpointing)
    tokens = 512 if how == "wide" else 192  # enough to outweigh the casts of weights, which are counted apart
    counted = (peak_of(model, tokens + 128) - peak_of(model, tokens)) / 128
    shape = shape_of(model)
    planned = activation_bytes(
        shape.config, checkpointing=checkpointing, wide=how == "wide", adapter=shape.adapted if how == "lora" else 0
    )
    assert planned == pytest.approx(counted, rel=0.15)


@pytest.mark.parametrize(("frozen", "narrow"), [(False, False), (False, True), (True, True)])
def test_the_head_s_work_is_within_15_percent_of_what_is_alive_in_it(monkeypatch, frozen, narrow):
    """TRL's fused head as the trainer has it, in float32; its kernels, which a GPU runs in place, do nothing here."""
    from trl.kernels import chunked_logprob

    for name in ("_forward_tile", "_backward_tile"):
        monkeypatch.setattr(chunked_logprob, name, lambda *args, **kwargs: None)
    tokens, words, hidden = 1000, 8000, 1024
    weight = torch.zeros(words, hidden, dtype=torch.bfloat16 if narrow else torch.float32, requires_grad=not frozen)
    states = torch.zeros(tokens, hidden, dtype=torch.bfloat16, requires_grad=True)
    labels = torch.zeros(tokens, dtype=torch.long)
    with Live([weight, states, labels]) as live:
        out = chunked_logprob.ChunkedLogProbFunction.apply(states.float(), weight, None, labels, 1.0, 32_768)
        out[0].sum().backward()
    config = tiny_model("llama", vocab_size=words, hidden_size=hidden).config
    shape = Shape(10**6, 10**3 if frozen else 10**6, words * hidden, 10**5, config)
    how = Training(row_tokens=tokens, shards=2 if narrow else 1, frozen=2 if narrow else 4)
    assert update_parts(shape, how)["head"] == pytest.approx(live.peak, rel=0.15)


def test_what_an_adapter_s_update_takes_on_one_h200_is_foreseen_within_15_percent():
    """A 7B shape with fused kernels (docs/memory.md has the measurement, in GiB)."""
    config = {"vocab_size": 152_064, "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28}
    heads = {"num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False}
    with torch.device("meta"):
        bare = AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen2", **config, **heads))
    shape = shape_of(with_adapter(bare, LoraConfig(r=32, task_type="CAUSAL_LM", target_modules="all-linear")))
    how = Training(row_tokens=4096)
    growth = held_parts(shape, how)["gradients"] + sum(update_parts(shape, how).values())
    assert growth / 2**30 == pytest.approx(24.46, rel=0.15)


UNSEEN = {
    "afmoe": SIZES | {"moe_intermediate_size": 96, "num_experts": 8, "num_experts_per_tok": 4, "head_dim": 32},
    "phimoe": SIZES | {"intermediate_size": 96, "num_local_experts": 8, "num_experts_per_tok": 4},
    "arcee": SIZES,
    "apertus": SIZES,
    "exaone4": SIZES | {"head_dim": 32},
    "gemma4_text": SIZES
    | {"head_dim": 32, "global_head_dim": 32, "hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": 64},
}
"""Families whose norms, gates, routers or feed-forwards no table knows."""


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("architecture", UNSEEN)
def test_a_pass_without_numbers_shows_what_a_family_takes_that_no_table_knows(architecture, checkpointing):
    model = tiny_model(architecture, num_hidden_layers=LAYERS, **UNSEEN[architecture]).train()
    if "moe" in architecture:
        model.set_experts_implementation("grouped_mm")
    shape = shape_of(model)
    how = Training(row_tokens=1000, shards=2, fused=False, checkpointing=checkpointing)
    planned = update_parts(shape, how)["activations"] / 1000
    model = model.to(torch.bfloat16)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    counted = (peak_of(model, 320) - peak_of(model, 192)) / 128
    assert planned == pytest.approx(counted, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("architecture", ["gpt_oss", "granitemoe_swa", "llama"])
def test_a_pass_without_numbers_shows_the_scores_of_a_family_s_own_attention(architecture, wide):
    """Beside sinks and a mask in float32, scores are float32 under autocast."""
    register()
    fields = SIZES | (FEW | {"head_dim": 32} if architecture == "gpt_oss" else FEW if "moe" in architecture else {})
    model = tiny_model(architecture, num_hidden_layers=LAYERS, **fields).train()
    model.set_attn_implementation("eager")
    if architecture != "llama":
        model.set_experts_implementation("grouped_mm")
    shape = shape_of(model)
    few, many = (
        n * shape.tried(wide, False, False, True)[0] + n * n * shape.tried(wide, False, False, True)[1]
        for n in (512, 768)
    )
    model = model if wide else model.to(torch.bfloat16)
    assert many - few == pytest.approx(peak_of(model, 768) - peak_of(model, 512), rel=0.15)


@pytest.mark.slow
def test_a_pass_without_numbers_of_hyper_connections_and_indexed_attention_is_that_of_a_real_one():
    """DeepSeek V4: several streams of hidden states, and an attention of its own."""
    model = tiny_model("deepseek_v4", num_hidden_layers=LAYERS, hidden_size=128).train()
    token, pair = bytes_of_token(model, wide=False, checkpointing=False, eager=True)
    model.set_experts_implementation("grouped_mm")
    counted = peak_of(model.to(torch.bfloat16), 640) - peak_of(model, 512)
    assert 128 * token + (640**2 - 512**2) * pair == pytest.approx(counted, rel=0.1)


def test_a_pass_that_cannot_be_tried_leaves_the_formula():
    model = tiny_model("llama")
    shape = shape_of(model)
    assert shape.tried(False, False, False, False) == bytes_of_token(model, wide=False, checkpointing=False)
    model.model.forward = lambda **_: 1 / 0
    how = Training(row_tokens=10, shards=2, fused=False)
    assert bytes_of_token(model, wide=False, checkpointing=False) is None
    planned = update_parts(replace(shape, tried=lambda *_: None), how)["activations"]
    assert planned == 10 * activation_bytes(shape.config, checkpointing=False)


@pytest.mark.parametrize("package", [None, "mamba_ssm"])
def test_layers_whose_kernels_are_a_package_s_are_left_to_the_formula(package, monkeypatch):
    """A package's kernels keep less than torch's operations, and cannot be tried without numbers."""
    monkeypatch.setattr(tried, "find_spec", lambda name: name == package or None)
    state = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_expand": 1}
    model = tiny_model("bamba", hidden_size=128, attn_layer_indices=[1], **state)
    found = bytes_of_token(model, wide=False, checkpointing=False)
    assert (found is None) == (package is not None)
    assert bytes_of_token(tiny_model("llama"), wide=False, checkpointing=False) is not None
