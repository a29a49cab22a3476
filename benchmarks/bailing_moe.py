"""ringlite's Bailing MoE beside transformers' own mixtures of the same shape: forward and backward tokens per second.

    python benchmarks/bailing_moe.py             4 layers at Ling-lite's width, bf16, rows of 4,096 tokens, on a GPU
    python benchmarks/bailing_moe.py --v2        the same at Ling-mini-2.0's width, for Ling 2.0's architecture
    python benchmarks/bailing_moe.py --quick     a tiny size on a CPU, a few seconds

The models run in one process, in turns, on the same random tokens, with the same attention and expert kernels; what
differs is the architecture. Of the same shape: hidden size, heads, experts, shared width, vocabulary. The loss is taken
of a vocabulary of 8,192 so that the head, which is the same in all, does not hide the layers. The median of the steps
counts. qwen3_moe has no shared experts, and so less to do. The last line is `ratio R`: Bailing's tokens per second over
the fastest of the others.
"""

import argparse
import os
import platform
import statistics
import time
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

ResultRow = dict[str, Any]
FULL: ResultRow = {
    "hidden": 2048,
    "heads": 16,
    "kv": 4,
    "head": 128,
    "experts": 64,
    "top": 6,
    "width": 1408,
    "shared": 2,
}
SIZES: dict[str, ResultRow] = {
    "quick": {
        "hidden": 64, "heads": 4, "kv": 2, "head": 16, "experts": 8, "top": 2, "width": 32, "shared": 2,
        "layers": 2, "vocab": 256, "batch": 2, "length": 64, "steps": 3,
    },
    "full": FULL | {"layers": 4, "vocab": 8192, "batch": 2, "length": 4096, "steps": 12},
    "v2": {
        "hidden": 2048, "heads": 16, "kv": 4, "head": 128, "experts": 256, "top": 8, "width": 512, "shared": 1,
        "layers": 4, "vocab": 8192, "batch": 2, "length": 4096, "steps": 12,
    },
}  # fmt: skip
KINDS = {
    "bailing_moe": ("bailing_moe", "qwen2_moe", "ernie4_5_moe"),
    "bailing_moe_v2": ("bailing_moe_v2", "bailing_moe", "qwen3_moe", "glm4_moe"),
}
"""The architecture that is measured first, then those that it is held against."""
GROUPS = {"n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5}


def config_of(kind: str, size: ResultRow) -> Any:
    """The config of an architecture at that size."""
    from transformers import AutoConfig

    common = {
        "vocab_size": size["vocab"],
        "hidden_size": size["hidden"],
        "num_hidden_layers": size["layers"],
        "num_attention_heads": size["heads"],
        "num_key_value_heads": size["kv"],
        "head_dim": size["head"],
        "intermediate_size": size["width"],
        "moe_intermediate_size": size["width"],
        "max_position_embeddings": size["length"],
        "tie_word_embeddings": False,
        "pad_token_id": None,
    }
    experts = {"num_experts": size["experts"], "num_experts_per_tok": size["top"]}
    own = {
        "bailing_moe": experts | {"num_shared_experts": size["shared"]},
        "bailing_moe_v2": experts
        | {"num_shared_experts": size["shared"], "first_k_dense_replace": 0, "partial_rotary_factor": 0.5}
        | GROUPS,
        "glm4_moe": {"n_routed_experts": size["experts"], "num_experts_per_tok": size["top"]}
        | {"n_shared_experts": size["shared"], "first_k_dense_replace": 0, "use_qk_norm": True}
        | GROUPS,
        "qwen3_moe": experts | {"norm_topk_prob": True},
        "qwen2_moe": experts
        | {
            "shared_expert_intermediate_size": size["shared"] * size["width"],
            "qkv_bias": False,
            "norm_topk_prob": True,
        },
        "ernie4_5_moe": {
            "moe_num_experts": size["experts"],
            "moe_k": size["top"],
            "moe_num_shared_experts": size["shared"],
            "moe_layer_start_index": 0,
        },
    }
    return AutoConfig.for_model(kind, **common, **own[kind])


def build(kind: str, size: ResultRow, device: str, dtype: Any, experts: str) -> Any:
    """A random model whose routers spread the tokens."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(17)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(
            config_of(kind, size), dtype=dtype, attn_implementation="sdpa", experts_implementation=experts
        )
    for name, parameter in model.named_parameters():
        if name.endswith("mlp.gate.weight"):  # ernie4_5_moe makes routers of zeros, where every choice is a tie
            torch.nn.init.normal_(parameter, std=0.02)
    return model.train()


def step_seconds(model: Any, ids: Any) -> float:
    """One forward and backward pass."""
    import torch

    wait = torch.cuda.synchronize if ids.is_cuda else (lambda: None)
    wait()
    started = time.perf_counter()
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    wait()
    took = time.perf_counter() - started
    model.zero_grad(set_to_none=True)
    return took


def measure(kinds: tuple[str, ...], size: ResultRow, device: str, dtype: Any, experts: str) -> dict[str, ResultRow]:
    """Per architecture: parameters, and seconds of each counted step; the models take turns."""
    import torch

    models = {kind: build(kind, size, device, dtype, experts) for kind in kinds}
    ids = torch.randint(0, size["vocab"], (size["batch"], size["length"]), generator=torch.Generator().manual_seed(3))
    ids = ids.to(device)
    rows = {kind: {"parameters": models[kind].num_parameters(), "seconds": []} for kind in kinds}
    for step in range(size["steps"] + 2):
        for kind in kinds if step % 2 else reversed(kinds):
            took = step_seconds(models[kind], ids)
            if step >= 2:
                rows[kind]["seconds"].append(took)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tiny size on a CPU")
    parser.add_argument("--v2", action="store_true", help="Ling 2.0's architecture instead of Ling-lite's")
    parser.add_argument("--experts", default="grouped_mm", help="transformers' experts_implementation")
    options = parser.parse_args()
    import torch
    import transformers

    from ringlite_cli.models import register

    register()
    device = "cpu" if options.quick or not torch.cuda.is_available() else "cuda"
    kinds = KINDS["bailing_moe_v2" if options.v2 else "bailing_moe"]
    large, dtype = "v2" if options.v2 else "full", torch.float32 if device == "cpu" else torch.bfloat16
    size = SIZES["quick" if device == "cpu" else large]
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "cpu"
    print(f"{name}, torch {torch.__version__}, transformers {transformers.__version__}, experts {options.experts}")
    rows = measure(kinds, size, device, dtype, options.experts)
    tokens = size["batch"] * size["length"]
    rates = {kind: tokens / statistics.median(row["seconds"]) for kind, row in rows.items()}
    print(f"{'architecture':<14} {'parameters':>14} {'tokens/s':>12} {'slowest':>10} {'fastest':>10}")
    for kind, row in rows.items():
        slow, fast = tokens / max(row["seconds"]), tokens / min(row["seconds"])
        print(f"{kind:<14} {row['parameters']:>14,} {rates[kind]:>12,.0f} {slow:>10,.0f} {fast:>10,.0f}")
    print(f"ratio {rates[kinds[0]] / max(rates[kind] for kind in kinds[1:]):.3f}")


if __name__ == "__main__":
    main()
