"""How much disk and memory a stage will need, by the model's size, and whether this machine has it."""

import os
import shutil
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from ringlite_cli.memory.asked import DRAWS_LESS, REWARD_MODEL_FITS, WHAT_FITS
from ringlite_cli.models.sizes import model_sizes
from ringlite_cli.presence import files_below
from ringlite_cli.recipe.schema import Model, Recipe, RewardModelStage, RlStage, SftStage
from ringlite_cli.runs.manifest import read_manifest
from ringlite_cli.runs.ranks import world_size
from ringlite_cli.stages.base import Context, Finding

_OPTIMIZER = 12
"""Bytes per parameter of a trainer's own checkpoint: weights and AdamW's two moments, in float32."""
_KEPT = 2
"""Checkpoints of the trainer that are kept where `save_total_limit` does not say; one more lies there meanwhile."""
_OF_GUARD = 2
"""Checkpoints that RL's guard keeps beside them: the one to go back to, and one whose window is not over."""
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
    if parameters is None or not isinstance(section, SftStage | RewardModelStage | RlStage):
        return 0
    policy = parameters * weight_bytes(recipe.model)
    kept = int(section.trl.get("save_total_limit") or _KEPT) + 1
    if isinstance(section, RewardModelStage):
        return policy * (1 if section.policy else 2) + parameters * _OPTIMIZER * kept
    if isinstance(section, SftStage):
        handed_on = ceil(section.trl_value("num_train_epochs") * section.checkpoints_per_epoch) + 1
        return policy * handed_on + parameters * _OPTIMIZER * kept
    trained = policy if section.lora is None else 0
    kept += _OF_GUARD if section.guard is not None else 0
    tokens = section.steps * section.prompts_per_step * section.num_generations * section.max_completion_length
    logs = tokens * _ROLLOUT_TOKEN if rollouts else 0
    return policy * 2 + (parameters * _OPTIMIZER if trained else policy) * kept + logs


def room_is_enough(context: Context) -> Iterator[Finding]:
    """Check the disk for all stages that are about to work, and the memory of this one."""
    sizes = model_sizes(context.recipe.model)
    if sizes is None:
        return
    parameters = sizes[0]
    stages = context.pending or {context.name}
    needed = sum(
        max(0, disk_bytes(context.recipe, name, parameters, rollouts=False) - _saved(context.run / name))
        for name in stages
    )
    free = shutil.disk_usage(_existing(context.run)).free
    if needed > free:
        asked, there = size_in_words(needed), size_in_words(free)
        what = f"the stages to come need about {asked} of disk, and {there} are free in {context.run}"
        yield Finding("disk", what, "free some, give another --runs-dir, or lower save_total_limit", of_machine=True)
    yield from _memory(context)


def _saved(folder: Path) -> int:
    """Return the bytes of checkpoints and weights in the folder of a stage that was stopped, which may go on there."""
    manifest = read_manifest(folder)
    if manifest is None or manifest.status == "done":
        return 0
    return sum(file.stat().st_size for file in files_below(folder) if file.suffix != ".jsonl")


def gpus_are_alike(context: Context) -> Iterator[Finding]:
    """Check that the ranks of this machine have GPUs of one kind; those of others are asked as training begins."""
    if world_size() == 1:
        return
    from ringlite_cli.errors import UserError
    from ringlite_cli.stages.preflight.engine import gpus_here
    from ringlite_cli.train.devices import OF_ONE_KIND, gpu_name, refuse_other_gpus
    from ringlite_cli.train.engine.own_server import ranks_here

    try:
        refuse_other_gpus([gpu_name(place) for place in range(min(ranks_here(), gpus_here()))])
    except UserError as error:
        yield Finding(f"stages.{context.name}", error.what, OF_ONE_KIND, of_machine=True)


def _memory(context: Context) -> Iterator[Finding]:
    """Say what of this stage does not fit a GPU here, or this machine without one."""
    import torch

    from ringlite_cli.stages.parts.memory import Machine, foreseen, scorer_bytes, shape_for
    from ringlite_cli.train.devices import offloads, reshards, sharing_ranks

    section: Any = context.section
    shape = shape_for(context.recipe.model, section)
    if shape is None:
        return
    ranks, where = world_size(), f"stages.{context.name}"
    have = _memory_here()
    if not have:
        return
    scorer = scorer_bytes(context.recipe, context.name)
    sharded = sharing_ranks() > 1
    machine = Machine(ranks, have, sharded=sharded, offload=offloads(), reshard=reshards(), scorer=scorer)
    fit = foreseen(context.recipe.model, section, shape, machine)[1]
    cure = REWARD_MODEL_FITS if isinstance(section, RewardModelStage) else WHAT_FITS
    if torch.cuda.is_available():
        for fault in fit.faults():
            yield Finding(where, fault, cure, of_machine=True)
    elif sum(fit.held.values()) > have:
        what = f"{fit.in_words()} are more than the {size_in_words(have)} that this machine has"
        yield Finding(where, what, cure, of_machine=True)
        return
    for risk in fit.risks():
        yield Finding(where, risk, DRAWS_LESS, of_machine=True, fatal=False)


def _memory_here() -> int:
    """The bytes of memory that one rank trains in; 0 where it is not known."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0


def _existing(folder: Path) -> Path:
    """The nearest folder above that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def size_in_words(size: float) -> str:
    """Return bytes as GiB, or as MiB below one."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
