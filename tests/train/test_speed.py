"""FLOPs of training by hand-made shapes, the table of cards, and the shares of a step."""

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tiny_lm import save_policy, tiny_model
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoTokenizer

from ringlite_cli.c3po.router import router_parameters
from ringlite_cli.train.rl.config import C3POConfig
from ringlite_cli.train.rl.loop import speed
from ringlite_cli.train.rl.trainer import C3POTrainer
from ringlite_cli.train.speed import _attention_width, peak_flops, phase_shares, seen_squares, training_flops


def test_a_step_s_flops_are_those_that_torch_counts() -> None:
    """A full forward and backward pass over one sample; torch counts attention's whole square."""
    model = tiny_model("qwen3", attn_implementation="eager")
    ids = torch.arange(1, 41)[None] % model.config.vocab_size
    with FlopCounterMode(display=False) as counted:
        model(input_ids=ids, use_cache=False).logits.sum().backward()
    found = training_flops(model)
    assert found.of(40, 40, 2 * 40**2) == pytest.approx(counted.get_total_flops(), rel=0.02)


def test_experts_count_as_often_as_tokens_are_sent_to_them() -> None:
    model = tiny_model("qwen3_moe")
    config = model.config
    experts = sum(p.numel() for n, p in model.named_parameters() if ".experts." in n)
    others = sum(
        p.numel() for n, p in model.named_parameters()
        if p.dim() > 1 and ".experts." not in n and "embed_tokens" not in n and "lm_head" not in n
    )  # fmt: skip
    share = config.num_experts_per_tok / config.num_experts
    assert 0 < share < 1
    assert training_flops(model).token == pytest.approx(6 * (others + experts * share))


def mixture(names: str, **counts: int | None) -> nn.Module:
    """A layer of 8 experts, each 10 x 4, and a router of 8 x 4, in a model whose config has these counts."""
    model = nn.Module()
    model.head = nn.Linear(4, 16, bias=False)
    layer = nn.Module()
    for name in ("router", names):
        shape = (8, 4) if name == "router" else (8, 10, 4)
        layer.register_parameter(name, nn.Parameter(torch.zeros(shape)))
    model.mlp = layer
    config = SimpleNamespace(num_hidden_layers=1, num_attention_heads=1, hidden_size=4, **counts)
    config.get_text_config = lambda: config
    model.config, model.get_output_embeddings = config, lambda: model.head
    return model


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        ("input_linear", {"num_local_experts": 8, "num_experts_per_tok": 2}),  # JetMoE
        ("w1", {"moe_num_experts": 8, "moe_topk": 2}),  # Aria
        ("w1", {"num_experts": [8], "moe_topk": [2]}),  # Hunyuan has a list, with a number per layer
        ("w1", {"num_experts": 8, "num_experts_per_token": 2}),  # Kimi
    ],
)
def test_experts_are_known_by_their_shape_and_their_number_by_any_family_s_name(names, counts) -> None:
    assert training_flops(mixture(names, **counts)).token == 6 * (8 * 4 + 2 * 10 * 4)


def test_a_mixture_that_does_not_say_how_many_experts_a_token_has_is_given_no_number() -> None:
    found = training_flops(mixture("w1", num_experts=8, experts_a_token=2))
    row = {"step_seconds": 20.0, "rollout_seconds": 8.0, "reward_seconds": 2.0, "update_seconds": 10.0}
    row |= {"tokens_trained": 400, "tokens_forwarded": 500}
    assert "mfu" not in speed(row, found.of(500, 400, 0), 1, 1e12)


def test_a_router_that_is_frozen_counts_as_frozen(tmp_path) -> None:
    counted = []
    for freeze in (False, True):
        keys = {"prompts_per_step": 1, "token_budget": 8, "freeze_router": freeze}
        args = C3POConfig(str(tmp_path), num_generations=2, max_completion_length=8, max_steps=1, **keys)
        trainer = C3POTrainer(
            model=tiny_model("qwen3_moe"), reward_funcs=lambda completions, **_: [0.0] * len(completions), args=args,
            train_dataset=Dataset.from_list([{"prompt": "w1"}]),
            processing_class=AutoTokenizer.from_pretrained(save_policy(tmp_path / str(freeze), "qwen3_moe")),
        )  # fmt: skip
        frozen = sum(p.numel() for p in router_parameters(trainer.model))
        counted.append(trainer.flops.token)
    assert counted[0] - counted[1] == 2 * frozen > 0


def test_layers_with_attention_beside_a_state_see_the_whole_sample() -> None:
    config = SimpleNamespace(num_hidden_layers=3, num_attention_heads=2, hidden_size=8)
    config.layer_types = ["hybrid", "linear_attention", "full_attention"]
    assert _attention_width(config) == 2 * 8


WINDOWS = {
    "mistral": {"sliding_window": 8},
    "mixtral": {"sliding_window": None},
    "qwen2": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
    "qwen3": {"use_sliding_window": False, "sliding_window": 8},
    "gemma2": {"sliding_window": 8},
    "gemma3_text": {"sliding_window": 8, "sliding_window_pattern": 3},
    "llama4_text": {"attention_chunk_size": 16},
}
"""Architecture -> what its config says of windows; each in another way."""


@pytest.mark.parametrize("architecture", WINDOWS)
def test_windows_are_counted_as_the_layers_see_them(architecture: str) -> None:
    """Every product of a query and a key that has a weight in the model's own attention, over four layers."""
    model = tiny_model(
        architecture, num_hidden_layers=4, head_dim=8, layer_types=None, attn_implementation="eager",
        **WINDOWS[architecture],
    ).eval()  # fmt: skip
    ids = torch.arange(1, 41)[None] % model.config.vocab_size
    with torch.no_grad():
        seen = model(input_ids=ids, use_cache=False, output_attentions=True).attentions
    by_hand = sum(int((layer[0, 0] > 0).sum()) for layer in seen)
    found = training_flops(model)
    config = model.config.get_text_config()
    width = config.num_attention_heads * 8
    assert found.square == 6 * 4 * width
    flops = found.of(0, 0, seen_squares(config)(40))
    assert flops == pytest.approx(12 * width * by_hand, rel=0.06)  # n^2 / 2 for n (n + 1) / 2 products


def test_the_part_of_a_square_that_is_seen() -> None:
    config = SimpleNamespace(num_hidden_layers=2, num_attention_heads=2, hidden_size=8, sliding_window=10)
    assert seen_squares(config)(10) == 100
    assert seen_squares(config)(30) == 2 * 30 * 10 - 100
    config.layer_types = ["full_attention", "sliding_attention"]
    assert seen_squares(config)(30) == (900 + 500) / 2
    config.layer_types = ["linear_attention", "chunked_attention"]
    config.attention_chunk_size = 12
    assert seen_squares(config)(30) == 144 + 144 + 36
    config.layer_types = ["linear_attention", "linear_attention"]
    assert seen_squares(config)(30) == 0
    del config.layer_types
    config.use_sliding_window = False
    assert seen_squares(config)(30) == 900


def test_frozen_weights_count_four_and_adapters_six() -> None:
    model = tiny_model("qwen3")
    whole = training_flops(model)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    adapter = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    found = training_flops(adapted)
    assert found.token == pytest.approx(whole.token * 4 / 6 + 6 * adapter)
    assert (found.head, found.square) == (whole.head * 4 / 6, whole.square)


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA GH200 480GB", 989e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA RTX A6000", None),
        ("cpu", None),
    ],
)
def test_cards_are_known_by_torch_s_names(device: str, peak: float | None) -> None:
    assert peak_flops(device) == peak


def test_the_shares_of_a_step_are_its_seconds_and_one_together() -> None:
    row = {"step_seconds": 20.0, "rollout_seconds": 8.0, "generation_seconds": 5.0, "sync_seconds": 1.0}
    row |= {"reward_seconds": 2.0, "reference_seconds": 1.0, "update_seconds": 7.0}
    assert phase_shares(row) == pytest.approx(
        {
            "generation_share": 0.25, "sync_share": 0.05, "reward_share": 0.1, "reference_share": 0.05,
            "update_share": 0.35, "idle_share": 0.2,
        }
    )  # fmt: skip


def test_an_engine_beside_the_trainer_takes_no_more_than_the_wait() -> None:
    row = {"step_seconds": 10.0, "rollout_seconds": 1.0, "generation_seconds": 9.0, "sync_seconds": 0.5}
    shares = phase_shares(row | {"reward_seconds": 0.0, "update_seconds": 9.0})
    assert shares["generation_share"] == 0.05
    assert sum(shares.values()) == pytest.approx(1)


def test_mfu_is_of_the_update_and_absent_without_a_known_card() -> None:
    row = {"step_seconds": 20.0, "rollout_seconds": 8.0, "reward_seconds": 2.0, "update_seconds": 10.0}
    row |= {"tokens_trained": 400, "tokens_forwarded": 500}
    found = speed(row, flops=2e13, ranks=2, peak=4e12)
    assert found["mfu"] == 2e13 / 10 / 2 / 4e12
    assert (found["tokens_per_second_per_gpu"], found["update_tokens_per_second_per_gpu"]) == (10.0, 25.0)
    assert speed(row, 2e13, 2, None) == {name: value for name, value in found.items() if name != "mfu"}
