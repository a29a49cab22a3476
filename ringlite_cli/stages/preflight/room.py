"""How much disk and memory a stage will need, by the model's size, and whether this machine has it."""

import os
import shutil
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from ringlite_cli.models.sizes import model_sizes
from ringlite_cli.recipe.schema import Model, Recipe, RlStage, SftStage
from ringlite_cli.stages.base import Context, Finding

_OPTIMIZER = 12
"""Bytes per parameter of a trainer's own checkpoint: weights and AdamW's two moments, in float32."""
_KEPT = 2
"""Checkpoints of the trainer that are kept where `save_total_limit` does not say; one more lies there meanwhile."""
_ADAMW = ("adamw_torch", "adamw_torch_fused", None)
"""Optimizers that keep two moments in float32; of others, weights and gradients alone are counted."""
_ROLLOUT_TOKEN = 5
"""Bytes of rollouts.jsonl per response token, roughly."""


def weight_bytes(model: Model) -> int:
    """Return the bytes per parameter of a policy that is handed on; `auto` is taken as float32, the larger."""
    return 2 if model.dtype == "bfloat16" else 4


def disk_bytes(recipe: Recipe, name: str, parameters: int | None, *, rollouts: bool = True) -> int:
    """Return the bytes that a stage's folder takes at its largest, roughly; 0 for a stage without weights.

    rollouts: count the log of an RL stage's responses too, as if each had its full length.
    """
    section = recipe.stages[name]
    if parameters is None or not isinstance(section, SftStage | RlStage):
        return 0
    policy = parameters * weight_bytes(recipe.model)
    kept = int(section.trl.get("save_total_limit") or _KEPT) + 1
    if isinstance(section, SftStage):
        handed_on = ceil(section.trl_value("num_train_epochs") * section.checkpoints_per_epoch) + 1
        return policy * handed_on + parameters * _OPTIMIZER * kept
    trained = policy if section.lora is None else 0
    tokens = section.steps * section.prompts_per_step * section.num_generations * section.max_completion_length
    logs = tokens * _ROLLOUT_TOKEN if rollouts else 0
    return policy * 2 + (parameters * _OPTIMIZER if trained else policy) * kept + logs


def training_memory(section: SftStage | RlStage, parameters: int) -> int:
    """Return the bytes of weights, gradients, optimizer and reference, without activations, on all ranks together."""
    if isinstance(section, RlStage) and section.lora is not None:
        return 4 * parameters
    if section.trl.get("optim") not in _ADAMW:
        return 8 * parameters
    reference = 4 if isinstance(section, RlStage) and section.trl.get("beta") else 0
    return (16 + reference) * parameters


def room_is_enough(context: Context) -> Iterator[Finding]:
    """Check the disk for all stages that are about to work, and the memory of this one."""
    sizes = model_sizes(context.recipe.model)
    if sizes is None:
        return
    parameters = sizes[0]
    stages = context.pending or {context.name}
    needed = sum(disk_bytes(context.recipe, name, parameters, rollouts=False) for name in stages)
    free = shutil.disk_usage(_existing(context.run)).free
    if needed > free:
        what = f"the stages to come need about {_gib(needed)} of disk, and {_gib(free)} are free in {context.run}"
        yield Finding("disk", what, "free some, give another --runs-dir, or lower save_total_limit", of_machine=True)
    section: Any = context.section
    have, where = _memory_here()
    wanted = training_memory(section, parameters) // _ranks_that_share()
    if have and wanted > have:
        what = f"weights, gradients and optimizer take {_gib(wanted)}, and {where} has {_gib(have)}"
        hint = (
            "shard them over GPUs (`ringlite plan` says what each holds), train an adapter (lora), or a smaller model"
        )
        yield Finding(f"stages.{context.name}", what, hint, of_machine=True)


def _ranks_that_share() -> int:
    """Ranks that a launcher with FSDP or DeepSpeed shards the training over; 1 without."""
    shards = any(
        os.environ.get(name, "").lower() == "true" for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    )
    return int(os.environ.get("WORLD_SIZE", "1")) if shards else 1


def _memory_here() -> tuple[int, str]:
    """The memory that one rank trains in, and its name; 0 where it is not known."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory), "a GPU here"
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "this machine"
    except (ValueError, OSError):
        return 0, ""


def _existing(folder: Path) -> Path:
    """The nearest folder above that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
