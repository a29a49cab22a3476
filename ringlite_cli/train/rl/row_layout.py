"""One RL step on this machine: rows, their length and gradient checkpointing, from the memory there is."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.c3po.memory import CPU_ROW_TOKENS, RowLayout, choose_layout, training_bytes
from ringlite_cli.train.engine.start import check_memory


def row_layout(
    policy: Path,
    trl: Mapping[str, Any],
    longest: int,
    *,
    row_tokens: int | None,
    lora: Mapping[str, Any] | None = None,
    world_size: int = 1,
) -> RowLayout:
    """The layout for training the model in `policy`; `row_tokens` and `trl.gradient_checkpointing` decide if given.

    longest: tokens of the longest sample with its prompt. On a CPU rows are short and nothing is recomputed.
    """
    import torch

    checkpointing = trl.get("gradient_checkpointing")
    if not torch.cuda.is_available():
        return RowLayout(row_tokens or max(CPU_ROW_TOKENS, longest), bool(checkpointing))
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(policy)
    parameters = _parameters(policy, config.dtype == torch.float32)
    fixed = training_bytes(
        parameters,
        reference=bool(trl.get("beta")),
        trained=None if lora is None else parameters // 50,
        shards=world_size if "ACCELERATE_USE_FSDP" in os.environ else 1,
    )
    check_memory(trl, fixed, *torch.cuda.mem_get_info())
    return choose_layout(
        config.get_text_config(), fixed, _free_memory(trl), longest, row_tokens=row_tokens, checkpointing=checkpointing
    )


def _parameters(policy: Path, in_float32: bool) -> int:
    """Of a saved model; a folder without safetensors counts as empty."""
    return sum(file.stat().st_size for file in Path(policy).glob("*.safetensors")) // (4 if in_float32 else 2)


def _free_memory(trl: Mapping[str, Any]) -> int:
    """Bytes that are free on this rank's device, less what an engine beside the trainer keeps."""
    import torch

    free, total = torch.cuda.mem_get_info()
    beside = trl.get("use_vllm") and trl.get("vllm_mode", "colocate") == "colocate"
    if beside and not trl.get("vllm_enable_sleep_mode"):
        free -= int(total * trl.get("vllm_gpu_memory_utilization", 0.3))
    return free
