"""Try the architectures of transformers at toy size: which train, and in packed rows or apart.

    python benchmarks/architectures.py paths [NAME ...]     how each runs the samples of a row (seconds)
    python benchmarks/architectures.py train [NAME ...]     SFT and RL by `ringlite run` (minutes), with random weights

Without names, all causal language models are tried that can be made from a few common fields.
"""

import json
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

COMMON = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 1024,
    "initializer_range": 0.1,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
LATENT = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
    "n_routed_experts": 8,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "n_shared_experts": 1,
    "head_dim": None,
}
SSM = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_expand": 2}
HYBRID = ["mamba", "attention", "mamba", "attention"]
OWN: dict[str, dict[str, Any]] = {
    "phi3": {"pad_token_id": 0, "original_max_position_embeddings": 1024},
    "phi3-longrope": {
        "model_type": "phi3",
        "max_position_embeddings": 2048,
        "original_max_position_embeddings": 128,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4,
        },
    },
    "llama-dynamic-rope": {
        "model_type": "llama",
        "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
    },
    "mistral": {"sliding_window": 64},
    "phimoe": {"sliding_window": 64},
    "gpt_oss": {
        "sliding_window": 64,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2, "moe_num_shared_experts": 1, "moe_layer_start_index": 1},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "qwen3_next": LINEAR,
    "qwen3_5_text": LINEAR,
    "qwen3_5_moe_text": LINEAR,
    "falcon_h1": SSM | {"mamba_d_ssm": 64},
    "bamba": SSM | {"attn_layer_indices": [1, 3]},
    "granitemoehybrid": SSM | {"layer_types": HYBRID, "shared_intermediate_size": 48},
    "zamba2": {"num_mem_blocks": 1, "mamba_headdim": 16, "n_mamba_heads": 4, "mamba_d_state": 16, "mamba_ngroups": 1,
               "attention_head_dim": 16, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]},
    "jamba": {"mamba_d_state": 8, "mamba_dt_rank": 4, "attn_layer_period": 2, "attn_layer_offset": 1,
              "expert_layer_period": 2, "expert_layer_offset": 1, "use_mamba_kernels": False},
    "mamba": {"state_size": 8, "num_attention_heads": None, "num_key_value_heads": None},
    "falcon_mamba": {"state_size": 8, "num_attention_heads": None, "num_key_value_heads": None},
    "mamba2": {"state_size": 16, "num_heads": 4, "head_dim": 16, "n_groups": 1},
    "bloom": {"n_layer": 2, "n_head": 4},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 1024},
    "deepseek_v2": LATENT | {"n_group": 1, "topk_group": 1},
    "deepseek_v3": LATENT,
    "glm4_moe": {"n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1,
                 "topk_group": 1},
    "llama4_text": {"attention_chunk_size": 64, "intermediate_size_mlp": 48},
    "recurrent_gemma": {"lru_width": 32, "attention_window_size": 64, "block_types": ["recurrent", "attention"]},
    "rwkv": {"attention_hidden_size": 32},
    "mllama_text_model": {"cross_attention_layers": []},
}  # fmt: skip
CHOSEN = (
    "llama", "llama-dynamic-rope", "qwen2", "qwen3", "qwen3_moe", "mistral", "mixtral", "gemma2", "gemma3_text", "phi3",
    "phi3-longrope", "phimoe", "olmoe", "ernie4_5_moe", "gpt_oss", "deepseek_v3", "glm4_moe", "lfm2", "qwen3_next",
    "qwen3_5_text", "falcon_h1", "bamba", "mamba2", "gpt2", "bloom", "granitemoehybrid", "llama4_text",
)  # fmt: skip


def fields_of(name: str) -> dict[str, Any]:
    """The fields of a toy config, with its model_type; fields that the architecture does not know are left out."""
    from transformers import AutoConfig

    own = dict(OWN.get(name, {}))
    kind = own.pop("model_type", name)
    known = AutoConfig.for_model(kind)
    names, other = known.to_dict(), getattr(known, "attribute_map", None) or {}
    common = {other.get(key, key): value for key, value in COMMON.items() if other.get(key, key) in names}
    return {"model_type": kind, **common, **own}


def path_of(name: str) -> str:
    """How the architecture runs the samples of a row, or what keeps it from being tried."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from ringlite_cli.c3po.row_path import choose_path

    try:
        fields = fields_of(name)
        special = {"vocab_size": 96, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
        config = AutoConfig.for_model(fields.pop("model_type"), **(special | fields))
        with torch.device("meta"):
            size = AutoModelForCausalLM.from_config(config).num_parameters()
        if size > 30_000_000:
            return f"not tried: {size:,} parameters from the common fields"
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        with torch.no_grad():
            model(input_ids=torch.arange(3, 9)[None], use_cache=False)
    except Exception as error:  # each config class has its own needs
        return f"not made from the common fields ({' '.join(str(error).split())[:90]})"
    try:
        return str(choose_path(model))
    except Exception as error:  # what comes out is the table's content
        return f"refused: {' '.join(str(error).split())[:160]}"


def recipe_of(name: str) -> dict[str, Any]:
    """A short run of SFT and RL on generated arithmetic."""
    trl = {"max_steps": 1, "num_generations": 2, "max_completion_length": 24, "learning_rate": 1e-4}
    fields = fields_of(name)
    if "max_position_embeddings" in fields and "longrope" not in name:
        fields["max_position_embeddings"] = 2048
    return {
        "name": name,
        "model": {"dtype": "float32", "new": {"vocab_size": 320, "config": fields}},
        "prompt_suffix": {},
        "stages": {
            "curate": {
                "kind": "curate",
                "workers": 1,
                "sources": [{"generator": "arithmetic", "rows": 40}],
                "sets": {"traces": {"rows": {"math": 12}, "traces": True}, "math": {"disjoint_from": ["traces"]}},
            },
            "sft": {
                "kind": "sft",
                "data": "curate.traces",
                "trl": {"num_train_epochs": 1, "per_device_train_batch_size": 2, "max_length": 512},
            },
            "rl": {
                "kind": "rl",
                "policy": "sft",
                "data": "curate.math",
                "prompts_per_step": 2,
                "token_budget": 48,
                "token_budget_scope": "global",
                "trl": trl,
            },
        },
    }


def train(name: str, runs: Path) -> str:
    """Run the recipe; return the path of its RL stage, or how it failed."""
    from ringlite_cli.__main__ import run

    recipe = runs / f"{name}.json"
    recipe.write_text(json.dumps(recipe_of(name)))
    code = run(["run", str(recipe), "--runs-dir", str(runs)])
    manifests = {x.parent.name: json.loads(x.read_text()) for x in (runs / name).glob("*/manifest.json")}
    if code:
        failed = [f"{k}: {m['message']}" for k, m in manifests.items() if m["status"] != "done"]
        return f"FAILED with code {code}: {'; '.join(failed)[:200]}"
    how = {stage: manifests[stage]["metrics"]["packing"] for stage in ("sft", "rl")}
    return how["rl"] if how["sft"] == how["rl"] else f"sft {how['sft']}; rl {how['rl']}"


def all_names() -> list[str]:
    """Every causal language model of transformers, and the variants here."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *(n for n, f in OWN.items() if "model_type" in f)})


def main() -> None:
    import torch
    from transformers.utils import logging

    from ringlite_cli.models import register

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    register()
    what, names = sys.argv[1], sys.argv[2:]
    runs = Path(tempfile.mkdtemp(prefix="ringlite-architectures-"))
    try:
        for name in names or (all_names() if what == "paths" else CHOSEN):
            try:
                result = path_of(name) if what == "paths" else train(name, runs)
            except Exception as error:  # the table goes on with the next one
                traceback.print_exc(limit=-2)
                result = f"FAILED: {error!r:.150}"
            print(f"| {name} | {result} |", flush=True)
    finally:
        shutil.rmtree(runs, ignore_errors=True)


if __name__ == "__main__":
    main()
