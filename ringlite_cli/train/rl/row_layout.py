"""One RL step on this machine: rows, their length and gradient checkpointing, from the memory there is."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.c3po.memory import RowLayout, choose_layout, training_bytes
from ringlite_cli.chat.rendering import prompt_text
from ringlite_cli.recipe.batch_plan import CPU_ROW_TOKENS
from ringlite_cli.recipe.trl_fields import trl_default
from ringlite_cli.train.engine.start import check_memory


def mean_prompt_tokens(tokenizer: Any, prompts: Sequence[Any]) -> float:
    """Return the mean length in tokens of up to 256 prompts, each text or a conversation.

    Enough for the layout of rows, which adapts to the real lengths anyway.
    """
    some = list(prompts[:256])
    texts = some if isinstance(some[0], str) else _as_texts(tokenizer, some)
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return sum(map(len, ids)) / len(ids)


def _as_texts(tokenizer: Any, conversations: Sequence[Any]) -> list[str]:
    return [prompt_text(tokenizer, conversation) for conversation in conversations]


def row_layout(
    policy: Any,
    trl: Mapping[str, Any],
    longest: int,
    *,
    row_tokens: int | None,
    lora: bool = False,
    world_size: int = 1,
) -> RowLayout:
    """Return the layout for training a policy; `row_tokens` and `trl.gradient_checkpointing` decide if given.

    policy: a model's folder, its hub id, or the model. longest: tokens of the longest sample with its prompt. lora:
    whether an adapter is trained alone. On a CPU rows are short and nothing is recomputed.
    """
    import torch

    checkpointing = trl.get("gradient_checkpointing")
    if not torch.cuda.is_available():
        return RowLayout(row_tokens or max(CPU_ROW_TOKENS, longest), bool(checkpointing))
    config, parameters = _config_and_size(policy)
    fixed = training_bytes(
        parameters,
        reference=bool(trl.get("beta")),
        trained=parameters // 50 if lora else None,
        shards=world_size if "ACCELERATE_USE_FSDP" in os.environ else 1,
    )
    check_memory(trl, fixed, *torch.cuda.mem_get_info())
    return choose_layout(
        config.get_text_config(), fixed, _free_memory(trl), longest, row_tokens=row_tokens, checkpointing=checkpointing
    )


def _config_and_size(policy: Any) -> tuple[Any, int]:
    """The config of a policy, and how many parameters it has."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if hasattr(policy, "num_parameters"):
        return policy.config, policy.num_parameters()
    config = AutoConfig.from_pretrained(policy)
    if Path(policy).is_dir():
        return config, _parameters(Path(policy), config.dtype == torch.float32)
    with torch.device("meta"):
        return config, AutoModelForCausalLM.from_config(config).num_parameters()


def _parameters(policy: Path, in_float32: bool) -> int:
    """Of a saved model; a folder without safetensors counts as empty."""
    return sum(file.stat().st_size for file in policy.glob("*.safetensors")) // (4 if in_float32 else 2)


def _free_memory(trl: Mapping[str, Any]) -> int:
    """Bytes that are free on this rank's device, less what an engine beside the trainer keeps."""
    import torch

    free, total = torch.cuda.mem_get_info()
    beside = trl.get("use_vllm") and trl.get("vllm_mode", trl_default("GRPOConfig", "vllm_mode")) == "colocate"
    if beside and not trl.get("vllm_enable_sleep_mode"):
        free -= int(
            total * trl.get("vllm_gpu_memory_utilization", trl_default("GRPOConfig", "vllm_gpu_memory_utilization"))
        )
    return free
