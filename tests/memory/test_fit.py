"""The engine's share, what each phase takes, and what is said where that does not fit."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from live_bytes import Live
from tiny_lm import tiny_model
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from ringlite_cli.memory.asked import beside_of, has_fused_kernels
from ringlite_cli.memory.drawing import drawn_of
from ringlite_cli.memory.engine import GRAPHS, OWN, engine_needs, heads_fault
from ringlite_cli.memory.fit import SPARE, Beside, fit
from ringlite_cli.memory.held import CONTEXT, Shape, Training, held_parts, resident
from ringlite_cli.memory.shapes import shape_of
from ringlite_cli.models import register

GIB = 2**30
QWEN_7B = SimpleNamespace(
    hidden_size=3584, num_attention_heads=28, num_key_value_heads=4, intermediate_size=18_944, num_hidden_layers=28,
    vocab_size=152_064, max_position_embeddings=32_768,
)  # fmt: skip
TOTAL = 7_615_000_000
FULL = Shape(TOTAL, TOTAL, 2 * 152_064 * 3584, 233_000_000, QWEN_7B)
LORA = Shape(TOTAL, 80_700_000, FULL.embedding, FULL.block, QWEN_7B)
TRL = {"use_vllm": True, "vllm_mode": "colocate", "vllm_enable_sleep_mode": True, "vllm_max_model_length": 4096}


def needs_of(**changed):
    return engine_needs(QWEN_7B, TOTAL, **({"in_flight": 64, "length": 4096} | changed))


def test_an_engine_needs_its_weights_and_the_keys_and_values_of_responses_under_way():
    needs = needs_of()
    token = 2 * 2 * 28 * 4 * 128
    assert needs.weights == 2 * TOTAL
    assert needs.cache == token * 64 * 4096
    assert needs.wanted == needs.weights + needs.cache + OWN
    assert needs.least == needs.weights + token * 4096 + OWN
    assert needs_of(bound=32_768).least == needs.weights + token * 32_768 + OWN


def test_gpus_that_share_an_engine_hold_a_share_of_weights_and_heads():
    two, eight = needs_of(gpus=2), needs_of(gpus=8)
    assert (two.weights, two.cache) == (TOTAL, needs_of().cache // 2)
    assert eight.cache == needs_of().cache // 4  # four heads of keys: each on two GPUs
    assert [bool(heads_fault(QWEN_7B, gpus)) for gpus in (1, 2, 4, 7, 14, 8, 3)] == [0, 0, 0, 1, 1, 1, 1]
    assert "28 attention heads cannot be shared evenly by 8 GPUs" in heads_fault(QWEN_7B, 8)


def test_lora_on_a_7b_model_fits_one_gpu_of_80_gb_beside_an_engine_that_sleeps():
    how = Training(bf16=True, reference=True, row_tokens=4224)
    found = fit(LORA, how, int(79.2 * GIB), Beside(needs_of(), sleeps=True))
    assert not found.faults()
    assert found.in_rollout < 79.2 * GIB
    assert found.responses == 64
    assert held_parts(LORA, how)["weights"] == 2 * TOTAL + 4 * LORA.trained
    assert any("weights 28.4 GiB" in fault for fault in fit(FULL, how, int(79.2 * GIB)).faults())


def test_the_share_is_what_the_engine_needs_or_what_training_leaves():
    how, memory = Training(row_tokens=4224), 80 * GIB
    ample = fit(LORA, how, memory, Beside(needs_of(), sleeps=True))
    assert ample.share == pytest.approx(needs_of().wanted / memory, abs=0.01)
    assert ample.share * memory >= needs_of().wanted
    many = needs_of(in_flight=10_000)
    scarce = fit(LORA, how, memory, Beside(many, sleeps=True))
    left = memory * (1 - SPARE) - CONTEXT - GRAPHS - resident(held_parts(LORA, how))
    assert scarce.share == pytest.approx(left / memory, abs=0.01)
    assert scarce.share * memory <= left
    assert 0 < scarce.responses < 10_000
    awake = fit(LORA, how, memory, Beside(many))
    assert awake.share < scarce.share
    assert awake.in_update < memory
    assert fit(LORA, how, memory, Beside(many, share=0.35)).share == 0.35


def test_layers_that_fsdp2_gathers_count_while_responses_are_drawn():
    """4 layers of Ling-lite's on two H200s, one engine over both: 44.7 GiB by docs/experiments/flagship.md."""
    register()
    config = AutoConfig.for_model("bailing_moe", num_hidden_layers=4)
    with torch.device("meta"):
        shape = shape_of(AutoModelForCausalLM.from_config(config))
    needs = engine_needs(config, shape.total, in_flight=64, length=24_576, gpus=2)
    how = Training(reference=True, checkpointing=True, row_tokens=5483, shards=2)
    found = fit(shape, how, 139 * GIB, Beside(needs, sleeps=True))
    assert found.in_rollout == pytest.approx(44.7 * GIB, rel=0.15)
    full = fit(shape, how, int(0.9 * found.in_rollout), Beside(needs, sleeps=True, share=found.share))
    assert any("layers gathered whole" in fault for fault in full.faults())


def test_what_does_not_fit_is_said_with_its_numbers():
    how = Training(row_tokens=4224)
    beside = Beside(needs_of(), sleeps=True, share=0.1)
    (small,) = fit(LORA, how, 80 * GIB, beside).faults()
    assert "the engine needs 16.4 GiB (14.2 GiB of weights, 0.2 GiB of keys and values for 4,096 tokens" in small
    assert "its share is 8.0 GiB" in small
    (large,) = fit(LORA, how, 80 * GIB, Beside(needs_of(), sleeps=True, share=0.9)).faults()
    assert "drawing responses takes" in large
    assert "weights 14.5 GiB, optimizer 0.6 GiB" in large
    (row,) = fit(LORA, Training(row_tokens=100_000), 80 * GIB).faults()
    assert "an update takes" in row
    assert "activations" in row
    (nothing_left,) = fit(FULL, Training(shards=2), 80 * GIB, Beside(needs_of())).faults()[:1]
    assert "are left beside weights" in nothing_left


@pytest.mark.parametrize(("sleeps", "fits"), [(True, True), (False, False)])
def test_an_engine_that_sleeps_leaves_its_memory_to_updates(sleeps, fits):
    """40 GiB of training beside an engine of 40 of 80: only if it sleeps, for gradients are gone while it draws."""
    shape = Shape(10 * GIB // 4, 10 * GIB // 4, 10**6, 10**6, QWEN_7B)  # 10 GiB of weights, 40 of all
    beside = Beside(engine_needs(QWEN_7B, 10**9, in_flight=1, length=64), sleeps=sleeps, share=0.5)
    assert (not fit(shape, Training(bf16=False, row_tokens=1), 80 * GIB, beside).faults()) is fits


def test_an_engine_is_what_trls_fields_ask_for():
    ask = {"responses": 16, "length": 1000, "bf16": True}
    beside = beside_of(TRL | {"vllm_tensor_parallel_size": 2}, LORA, **ask)
    assert beside is not None
    assert (beside.sleeps, beside.share) == (True, None)
    assert beside.needs.in_flight == 32  # of both ranks
    assert beside.needs.bound == 4096
    plain = beside_of({"use_vllm": True, "vllm_gpu_memory_utilization": 0.4}, LORA, **ask)
    assert plain is not None
    assert (plain.sleeps, plain.share, plain.needs.bound) == (False, 0.4, 32_768)
    assert beside_of(TRL | {"vllm_mode": "server"}, LORA, **ask) is None
    assert beside_of({"use_vllm": False}, LORA, **ask) is None


def test_models_without_attention_and_mixtures_of_other_names_are_counted_too():
    mamba = SimpleNamespace(hidden_size=32, num_hidden_layers=2, vocab_size=64)
    assert fit(Shape(1000, 1000, 10, 10, mamba), Training(row_tokens=10), GIB).in_update > 0
    assert heads_fault(mamba, 2) == ""
    mixtral = SimpleNamespace(**{**vars(QWEN_7B), "num_local_experts": 8, "num_experts_per_tok": 2})
    sparse = fit(Shape(TOTAL, TOTAL, 1, 1, mixtral), Training(row_tokens=100), GIB).update["activations"]
    assert sparse > fit(FULL, Training(row_tokens=100), GIB).update["activations"]


def test_a_reward_model_on_the_same_gpu_is_counted_and_named():
    memory, scorer = 80 * 2**30, 3 * 2**30
    alone, beside = (fit(LORA, Training(bf16=True, row_tokens=4096, scorer=size), memory) for size in (0, scorer))
    assert beside.in_update - alone.in_update == scorer
    assert beside.in_rollout - alone.in_rollout == scorer  # it is there while responses are drawn, and scored
    (said, *_) = fit(LORA, Training(bf16=True, row_tokens=4096, scorer=memory), memory).faults()
    assert "reward model 80.0 GiB" in said


def test_fused_kernels_are_planned_for_models_that_liger_knows():
    """liger-kernel 0.8.5's table; a mixture that is not in it (OLMoE, Granite) runs on plain kernels on a GPU too."""
    register()
    found = {
        name: has_fused_kernels(AutoConfig.for_model(name)) for name in ("qwen3", "olmoe", "granitemoe", "gpt_oss")
    }
    assert found == {"qwen3": True, "olmoe": False, "granitemoe": False, "gpt_oss": True}
    assert not has_fused_kernels(AutoConfig.for_model("bailing_moe"))


def test_the_trainer_s_own_model_keeps_keys_and_values_of_all_responses_at_once():
    """7B dense, grouped heads: 28 layers x 4 key heads x 128 x (keys and values), in float32 under autocast."""
    ask = {"responses": 64, "length": 4096}
    wide = drawn_of({}, FULL, Training(), **ask)
    assert wide is not None
    assert wide.size == 64 * 4096 * 28 * 2 * 4 * 128 * 4
    for shape, how in ((LORA, Training()), (FULL, Training(shards=2))):
        narrow = drawn_of({}, shape, how, **ask)  # weights in bfloat16, and so are hidden states
        assert narrow is not None
        assert narrow.size == 64 * 4096 * 28 * 2 * 4 * 128 * 2
    plain = drawn_of({"use_vllm": False}, FULL, Training(bf16=False), **ask)
    assert plain is not None
    assert plain.size == wide.size
    assert drawn_of({"use_vllm": True}, FULL, Training(), **ask) is None


def test_layers_with_a_window_keep_its_tokens_while_the_trainer_s_own_model_draws():
    """Gemma 3 1B: 26 layers, every sixth without a window of 512, one key head of 256."""
    config = AutoConfig.for_model(
        "gemma3_text", num_hidden_layers=26, num_key_value_heads=1, head_dim=256, sliding_window=512
    )
    drawn = drawn_of({}, Shape(10**9, 10**9, 1, 1, config), Training(), responses=8, length=4096)
    assert drawn is not None
    assert drawn.size == 8 * 2 * 1 * 256 * 4 * (4 * 4096 + 22 * 512)


def test_the_cache_of_the_trainer_s_own_model_is_in_float32_under_autocast():
    model = tiny_model("qwen3", head_dim=16).train()
    ids = torch.arange(40)[None].expand(3, -1) % 50
    for narrow in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=not narrow):
            cache = (model.to(torch.bfloat16) if narrow else model)(input_ids=ids, use_cache=True).past_key_values
        kept = sum(x.nbytes for layer in cache.layers for x in (layer.keys, layer.values))
        drawn = drawn_of({}, shape_of(model), Training(shards=1 + narrow), responses=3, length=40)
        assert drawn is not None
        assert drawn.size == kept


def test_what_a_batch_of_responses_may_take_is_a_risk_and_no_fault():
    how, memory = Training(row_tokens=4224), 24 * GIB
    drawn = drawn_of({}, LORA, how, responses=256, length=4096)
    found = replace(fit(LORA, how, memory), drawn=drawn)
    assert drawn is not None
    assert found.in_rollout - fit(LORA, how, memory).in_rollout == drawn.size + drawn.work
    assert drawn.work == 256 * 152_064 * 14  # logits in bfloat16, and in float32 they, probabilities and a copy
    assert found.faults() == fit(LORA, how, memory).faults()
    (said,) = found.risks()
    assert "drawing responses takes up to 72.2 GiB (keys and values of 256 responses of 4,096 tokens in one" in said
    assert "batch 56.0 GiB, a step's work 0.5 GiB, weights 14.5 GiB, optimizer 0.6 GiB), and there are 24.0 GiB" in said
    assert not fit(LORA, how, memory).risks()
    assert not replace(found, memory=80 * GIB).risks()


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(
    "fields",
    [{}, {"temperature": 0.7}, {"top_k": 50}, {"top_p": 0.9}, {"temperature": 0.7, "top_k": 50, "top_p": 0.9}],
)
def test_a_step_s_logits_and_what_a_draw_makes_of_them_are_counted(wide, fields):
    words, responses = 20_000, 16
    model = tiny_model("llama", vocab_size=words).train()
    model = model if wide else model.to(torch.bfloat16)
    config = GenerationConfig(
        max_new_tokens=4, do_sample=True, eos_token_id=words - 1, pad_token_id=57, **({"top_k": 0} | fields)
    )
    ids = torch.arange(responses * 6).view(responses, 6) % 50
    generate = model.generate
    forward = torch.autocast("cpu", torch.bfloat16)(model.forward)  # as accelerate has it: a pass at a time
    model.forward = forward
    with Live([*model.parameters(), *model.buffers()]) as live, torch.no_grad():
        generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    drawn = drawn_of(fields, shape_of(model), Training(shards=2 - wide), responses=responses, length=10)
    assert drawn is not None
    assert drawn.size + drawn.work == pytest.approx(live.peak, rel=0.1)


def test_float32_weights_are_copied_to_bfloat16_while_a_step_is_drawn():
    model = tiny_model("llama", hidden_size=256, intermediate_size=1024, vocab_size=2000).train()
    ids = torch.arange(4)[None]
    with Live([*model.parameters(), *model.buffers()]) as live, torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model(input_ids=ids, use_cache=True)
    drawn = drawn_of({}, shape_of(model), Training(), responses=1, length=4)
    assert drawn is not None
    assert drawn.size + drawn.work == pytest.approx(live.peak, rel=0.1)


def test_scores_that_a_stream_keeps_until_a_piece_ends_are_counted():
    ask = {"responses": 8, "length": 4096}
    one, many = (drawn_of({}, LORA, Training(), piece=piece, **ask) for piece in (0, 512))
    assert one is not None
    assert many is not None
    assert many.work - one.work == 8 * 152_064 * 4 * 512
