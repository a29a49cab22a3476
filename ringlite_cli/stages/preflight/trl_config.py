"""Whether TRL's own config classes accept a stage's `trl:` fields: their constructors check more than types."""

import os
from collections.abc import Iterator
from tempfile import TemporaryDirectory

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.schema import RlStage, SftStage
from ringlite_cli.stages.base import Context, Finding


def sft_config_is_accepted(context: Context) -> Iterator[Finding]:
    """Make the stage's SFTConfig."""
    from ringlite_cli.train.sft.run import sft_config

    section: SftStage = context.section
    if _waits_for_ranks():
        return
    with TemporaryDirectory() as folder:
        try:
            sft_config({**_precision(context), **section.trl}, folder, context.recipe.seed)
        except UserError as error:
            yield _refused(context, error)


def rl_config_is_accepted(context: Context) -> Iterator[Finding]:
    """Make the stage's C3POConfig, with a batch for prompts of a plain length."""
    from ringlite_cli.c3po.memory import RowLayout
    from ringlite_cli.models.lora_targets import lora_config
    from ringlite_cli.train.rl.trl_config import rl_config

    section: RlStage = context.section
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    faults = section.faults(world_size=world_size)
    yield from (Finding(f"stages.{context.name}", fault) for fault in faults)
    if faults or _waits_for_ranks():
        return
    layout = RowLayout(section.row_length(section.max_completion_length), False)
    with TemporaryDirectory() as folder:
        try:
            if section.lora:
                lora_config(section.lora.model_dump())
            rl_config(
                section,
                section.batch_plan(world_size=world_size),
                layout,
                dtype="bfloat16" if _precision(context)["bf16"] else "float32",
                attn_implementation=context.recipe.model.attn_implementation,
                mixture=False,
                output_dir=folder,
                seed=context.recipe.seed,
            )
        except (TypeError, ValueError, ImportError, UserError) as error:
            yield _refused(context, error)


def _waits_for_ranks() -> bool:
    """Whether a config would wait for the launcher's other ranks, which join in the stages alone: none is made then.

    transformers' TrainingArguments open the process group. `ringlite check --deep` makes the configs in one process.
    """
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _precision(context: Context) -> dict[str, bool]:
    return {"bf16": context.recipe.model.dtype == "bfloat16"}


def _refused(context: Context, error: Exception) -> Finding:
    text = error.what if isinstance(error, UserError) else (str(error).strip().splitlines() or [repr(error)])[0]
    return Finding(f"stages.{context.name}.trl", f"TRL refuses these settings ({text})")
