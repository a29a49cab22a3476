"""What an engine keeps of a response, beside the caches that real models fill, and what families publish."""

from types import SimpleNamespace

import pytest
import torch
from tiny_lm import tiny_model
from transformers import AutoConfig, AutoModelForCausalLM

from ringlite_cli.memory.caches import cache_of
from ringlite_cli.memory.engine import AHEAD, engine_needs, heads_fault
from ringlite_cli.models import register
from ringlite_cli.models.sizes import active_parameters

HYBRID = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 16,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "head_dim": 16,
}
WINDOWS = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"], "head_dim": 16}
FAMILIES = {
    "llama": {"num_attention_heads": 2, "head_dim": 24},  # heads x width is not the hidden size
    "phi3": {"sliding_window": 16},  # all layers have a window
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_oss": {**WINDOWS, "num_local_experts": 4, "num_experts_per_tok": 2},
    "gemma2": WINDOWS,
    "gemma3_text": WINDOWS,
    "gemma4_text": {
        "sliding_window": 16,
        "head_dim": 8,
        "global_head_dim": 16,
        "layer_types": ["sliding_attention", "full_attention"],
        "hidden_size_per_layer_input": 0,
    },
    "falcon": {"multi_query": True, "new_decoder_architecture": False},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_and_values_are_those_that_a_model_s_own_cache_holds(family):
    model = tiny_model(family, **FAMILIES[family])
    ids = torch.arange(40)[None] % 50
    with torch.no_grad():
        cache = model(input_ids=ids, use_cache=True).past_key_values
    kept = sum(x.numel() * 4 for layer in cache.layers for x in (layer.keys, layer.values))
    needs = engine_needs(model.config, 1, in_flight=3, length=40, width=4)
    assert needs.cache == pytest.approx(3 * kept, rel=0.07)  # transformers keeps a window less one token


def test_linear_attention_keeps_a_state_that_does_not_grow():
    config = AutoConfig.for_model("qwen3_next", hidden_size=32, num_hidden_layers=2, num_key_value_heads=2, **HYBRID)
    short, long = (engine_needs(config, 1, in_flight=1, length=length).cache for length in (100, 200))
    assert long - short == 100 * 2 * 2 * 2 * 16  # one layer's keys and values
    assert short == 100 * 2 * 2 * 2 * 16 + 4 * 4 * 8 * 16


@pytest.mark.parametrize(
    ("family", "state"),
    [
        ("mamba2", 64 * 128 * 64 * 128),
        ("mamba", 32 * 2 * 768 * 16),
        ("jamba", 28 * 2 * 4096 * 16),  # 4 of its 32 layers have keys and values
        ("falcon_h1", 32 * 128 * 8 * 256),  # each layer has both
    ],
)
def test_states_of_recurrent_layers_are_counted_by_their_matrices(family, state):
    config = AutoConfig.for_model(family)
    cache = cache_of(config)
    assert cache.state == 4 * state
    assert cache.token == {"jamba": 4, "falcon_h1": 32}.get(family, 0) * 2 * 8 * 128 * 2


def test_latent_attention_stores_latents_alone_on_every_gpu():
    """DeepSeek-V3 by its report: 512 + 64 numbers a token and layer."""
    config = AutoConfig.for_model("deepseek_v3")
    for gpus in (1, 8):
        assert engine_needs(config, 1, in_flight=1, length=1, gpus=gpus).cache == 61 * (512 + 64) * 2
    assert not heads_fault(config, 16)
    assert heads_fault(config, 3)


def test_an_engine_starts_with_room_for_a_window_and_the_tokens_of_its_steps():
    config = AutoConfig.for_model("mistral", num_hidden_layers=2, sliding_window=4096)
    needs = engine_needs(config, 0, in_flight=1, length=32_768)
    token = 2 * 2 * 2 * 8 * 128
    assert needs.cache == token * 4096
    assert needs.least - engine_needs(config, 0, in_flight=0, length=0).least == token * (4096 + AHEAD)


def test_heads_that_differ_from_layer_to_layer_are_read_layer_by_layer():
    config = AutoConfig.for_model("gemma4_text", num_global_key_value_heads=2, attention_k_eq_v=True)
    widths = {(layer.num_key_value_heads, layer.head_dim) for layer in config.per_layer_config}
    assert widths == {(4, 256), (2, 512)}
    assert heads_fault(config, 2) == ""


@pytest.mark.parametrize(
    ("family", "total", "active"),
    [
        ("deepseek_v3", 671.0, 37.0), ("mixtral", 46.7, 12.9), ("gpt_oss", 116.8, 5.1), ("phimoe", 41.9, 6.6),
        ("llama4_text", 107.8, 17.0),
    ],
)  # fmt: skip
def test_active_parameters_are_those_that_families_publish(family, total, active):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family))
    assert model.num_parameters() / 1e9 == pytest.approx(total, rel=0.01)
    assert active_parameters(model) / 1e9 == pytest.approx(active, rel=0.12)  # some count without the embedding


def test_experts_are_told_by_their_count_whatever_their_names():
    """granitemoe stacks them outside of `experts`; a list of modules has one name for each."""
    fields = {"num_local_experts": 4, "num_experts_per_tok": 1, "tie_word_embeddings": True}
    model = tiny_model("granitemoe", **fields)
    stacked = sum(p.numel() for p in model.parameters() if p.dim() == 3)
    assert stacked
    assert active_parameters(model) == model.num_parameters() - stacked * 3 // 4
    listed = torch.nn.ModuleDict({"experts": torch.nn.ModuleList([torch.nn.Linear(3, 5, bias=False)] * 1)})
    listed.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(num_experts=5, num_experts_per_tok=1))
    assert active_parameters(listed) == 3
    padded = torch.nn.Module()  # LongCat: experts of no width lie in the same tensor, beyond those that are counted
    padded.register_module("experts", torch.nn.Module())
    padded.experts.gate_up_proj = torch.nn.Parameter(torch.zeros(8, 3, 5))
    padded.config = listed.config
    assert active_parameters(padded) == 8 * 3 * 5 // 5


def test_a_window_that_a_config_names_and_does_not_use_keeps_all_tokens():
    """Ling's configs have a sliding_window beside use_sliding_window: false."""
    register()
    config = AutoConfig.for_model("bailing_moe", num_hidden_layers=2, sliding_window=4096, use_sliding_window=False)
    assert cache_of(config).windows == ()
    assert cache_of(config).token > 0
