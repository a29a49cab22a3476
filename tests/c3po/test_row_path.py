"""Each architecture's samples are held apart: in packed rows where that changes nothing, else run by themselves."""

import copy

import pytest
import torch
from tiny_lm import ARCHITECTURES, tiny_model
from trl.trainer.utils import add_fused_lm_head

from ringlite_cli.c3po import row_path
from ringlite_cli.c3po.packing import PackedSample, backbone, forward_inputs, pack_row
from ringlite_cli.c3po.router import RouterTap
from ringlite_cli.c3po.row_path import choose_path, row_path_in_use
from ringlite_cli.c3po.shrunk import shrunk
from ringlite_cli.c3po.unpacked import unpack, way_of
from ringlite_cli.errors import UserError

ROPE = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 10000.0}
WINDOWED = {"sliding_window": 4096, "head_dim": 8}
MUST_STAY_PACKED = {
    **ARCHITECTURES,
    "qwen2": {},
    "mistral": {"sliding_window": 4096},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gemma2": WINDOWED,
    "gemma3_text": WINDOWED,
    "phi3": {"pad_token_id": 0},
    "phimoe": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 4096},
    "olmo2": {},
    "granite": {},
    "cohere": {},
    "smollm3": {},
    "starcoder2": {},
    "stablelm": {},
    "deepseek_v3": {
        "n_routed_experts": 8, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
        "first_k_dense_replace": 1, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8, "v_head_dim": 8, "num_key_value_heads": 4,
    },
}  # fmt: skip
RECURRENT = {"num_hidden_layers": 4, "head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
APART = {
    "phi3": ({"pad_token_id": 0, "max_position_embeddings": 8192, "original_max_position_embeddings": 4096,
              "rope_parameters": {"rope_type": "longrope", **ROPE}}, "alone"),
    "llama": ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}, "alone"),
    "lfm2": ({"layer_types": ["conv", "full_attention"]}, "padded"),
    "qwen3_5_text": ({**RECURRENT, "linear_key_head_dim": 8, "linear_value_head_dim": 8}, "padded"),
    "mamba": ({"state_size": 8, "num_attention_heads": None, "num_key_value_heads": None}, "padded"),
    "bloom": ({"n_layer": 2, "n_head": 4}, "padded"),
}  # fmt: skip
SAMPLES = [PackedSample(i, [7, 8 + i], list(range(10 + i, 16 + 5 * i)), 1.0) for i in range(4)]


@pytest.mark.parametrize("architecture", MUST_STAY_PACKED)
def test_these_architectures_train_in_packed_rows(architecture):
    path = choose_path(tiny_model(architecture, **MUST_STAY_PACKED[architecture]))
    assert path.way == "packed", path


@pytest.mark.parametrize("architecture", APART)
def test_architectures_that_mix_samples_run_them_apart_and_say_so(architecture, caplog):
    fields, way = APART[architecture]
    model = tiny_model(architecture, **fields)
    assert choose_path(model).way == way
    assert way_of(backbone(model)) == way
    assert "packing: none" in caplog.text
    assert_rows_equal_samples(model)


def assert_rows_equal_samples(model):
    row = pack_row(SAMPLES)
    with torch.no_grad():
        packed = backbone(model)(**forward_inputs(model, row), use_cache=False).last_hidden_state[0]
        ids = [torch.tensor([sample.prompt + sample.response]) for sample in SAMPLES]
        single = [backbone(model)(input_ids=one, use_cache=False).last_hidden_state[0] for one in ids]
    torch.testing.assert_close(packed, torch.cat(single), atol=1e-5, rtol=1e-4)


def test_the_last_position_of_long_samples_is_right_past_the_length_of_a_long_rope():
    """Both samples of a row are run with their own factors: one is past the original length, one is not."""
    fields, _ = APART["phi3"]
    model = tiny_model("phi3", **{**fields, "original_max_position_embeddings": 64, "max_position_embeddings": 256})
    choose_path(model)
    short, long = (
        PackedSample(0, [5], list(range(6, 36)), 1.0),
        PackedSample(1, [9], [7 + i % 40 for i in range(90)], 1.0),
    )
    row = pack_row([short, long])
    with torch.no_grad():
        packed = model(**forward_inputs(model, row), use_cache=False).logits[0, :31]
        alone = model(input_ids=torch.tensor([short.prompt + short.response]), use_cache=False).logits[0]
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "qwen3_moe"])
@pytest.mark.parametrize(("way", "one_batch"), [("padded", False), ("padded", True), ("alone", False)])
def test_loss_and_gradients_are_those_of_packed_rows(architecture, way, one_batch):
    def step(model, way, one_batch):
        add_fused_lm_head(model, outputs=("log_probs", "entropy"))
        unpack(backbone(model), way, one_batch=one_batch)
        tap, row = RouterTap(model), pack_row(SAMPLES)
        with tap.open():
            out = model(**forward_inputs(model, row), shift_labels=row["shift_labels"], fused_lm_head=True)
        losses = tap.losses() if architecture == "qwen3_moe" else ()
        (out.log_probs.sum() + out.entropy.sum() + sum(losses)).backward()
        return [out.log_probs, out.entropy, *losses, *(p.grad for p in model.parameters())]

    model = tiny_model(architecture)
    expected = step(copy.deepcopy(model), "packed", False)
    torch.testing.assert_close(step(model, way, one_batch), expected, atol=1e-5, rtol=1e-4)


def test_packing_can_be_turned_off_and_on_again():
    model = tiny_model("qwen3")
    assert choose_path(model, packing="none").way == "padded"
    assert_rows_equal_samples(model)
    assert choose_path(model).way == "packed"
    assert_rows_equal_samples(model)
    assert way_of(backbone(model)) == "packed"


def test_generation_and_other_calls_are_left_alone():
    model = tiny_model("lfm2", layer_types=["conv", "full_attention"])
    ids = torch.arange(3, 12)[None]
    expected = model.generate(input_ids=ids, max_new_tokens=6, do_sample=False)
    choose_path(model)
    assert torch.equal(model.generate(input_ids=ids, max_new_tokens=6, do_sample=False), expected)


def test_the_scorer_puts_the_decoder_back():
    model = tiny_model("lfm2", layer_types=["conv", "full_attention"])
    with row_path_in_use(model) as path:
        assert way_of(backbone(model)) == path.way == "padded"
    assert way_of(backbone(model)) == "packed"


def test_a_model_that_sees_ahead_is_refused():
    with pytest.raises(UserError, match="BertLMHeadModel is not causal"):
        choose_path(tiny_model("bert", is_decoder=False))


def test_one_by_one_is_refused_where_all_ranks_must_make_the_same_passes():
    fields, _ = APART["phi3"]
    with pytest.raises(UserError, match=r"one by one .* sharded weights"):
        choose_path(tiny_model("phi3", **fields), one_batch=True)


def test_the_copy_in_small_reaches_every_threshold():
    model = tiny_model("gemma3_text", num_hidden_layers=12, sliding_window=1024, head_dim=8)
    small = shrunk(model, "sdpa")
    kinds = set(small.config.layer_types)
    assert small.config.sliding_window == 8
    assert kinds == set(model.config.layer_types) == {"sliding_attention", "full_attention"}
    assert small.config.num_hidden_layers == len(small.config.layer_types) < 12
    assert model.config.sliding_window == 1024


def test_a_stand_in_is_the_small_copy_and_no_second_one_is_made(monkeypatch):
    model = tiny_model("qwen3")
    stand_in = row_path.small_copy(model)
    monkeypatch.setattr(row_path, "shrunk", None)
    assert choose_path(model, stand_in=stand_in).way == "packed"
