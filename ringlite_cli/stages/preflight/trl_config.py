"""Whether TRL's own config classes accept a stage's `trl:` fields: their constructors check more than types."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory

from ringlite_cli.errors import UserError, first_line
from ringlite_cli.recipe.schema import RewardModelStage, RlStage, SftStage
from ringlite_cli.runs.ranks import world_size
from ringlite_cli.stages.base import Context, Finding
from ringlite_cli.stages.preflight.optimizer import training_can_be_made
from ringlite_cli.stages.preflight.sampling import sampling_is_known


def training_config_is_accepted(context: Context) -> Iterator[Finding]:
    """Make the SFTConfig or RewardConfig of a stage, where the launch can train what the stage trains."""
    section: SftStage | RewardModelStage = context.section
    if isinstance(section, SftStage):
        from ringlite_cli.train.sft.run import sft_config as make_config
    else:
        from ringlite_cli.train.reward_model.run import refuse_sharding
        from ringlite_cli.train.reward_model.run import reward_config as make_config

        try:
            refuse_sharding()
        except UserError as error:
            yield Finding(f"stages.{context.name}", error.what, error.hint, of_machine=True)
            return
    if _waits_for_ranks():
        return
    with TemporaryDirectory() as folder:
        try:
            args = make_config({**_precision(context), **section.trl}, folder, context.recipe.seed)
        except Exception as error:  # packages that a config asks for raise what they like
            yield _refused(context, error)
            return
        yield from training_can_be_made(context, args)


def rl_config_is_accepted(context: Context) -> Iterator[Finding]:
    """Make the stage's C3POConfig, with a batch for prompts of a plain length."""
    from ringlite_cli.memory.layout import RowLayout
    from ringlite_cli.models.lora_targets import lora_config
    from ringlite_cli.train.rl.trl_config import rl_config

    section: RlStage = context.section
    ranks = world_size()
    faults = section.faults(world_size=ranks)
    yield from (Finding(f"stages.{context.name}", fault) for fault in faults)
    if faults or _waits_for_ranks():
        return
    layout = RowLayout(section.row_length(section.max_completion_length), False)
    with TemporaryDirectory() as folder:
        try:
            if section.lora:
                lora_config(section.lora.model_dump())
            args = rl_config(
                section,
                section.batch_plan(world_size=ranks),
                layout,
                dtype="bfloat16" if _precision(context)["bf16"] else "float32",
                attn_implementation=context.recipe.model.attn_implementation,
                mixture=False,
                output_dir=folder,
                seed=context.recipe.seed,
            )
        except Exception as error:  # packages that a config asks for raise what they like
            yield _refused(context, error)
            return
        yield from training_can_be_made(context, args)
        yield from sampling_is_known(context)


def _waits_for_ranks() -> bool:
    """Whether a config would wait for the launcher's other ranks, which join in the stages alone: none is made then.

    transformers' TrainingArguments open the process group. `ringlite check --deep` makes the configs in one process.
    """
    return world_size() > 1


def _precision(context: Context) -> dict[str, bool]:
    return {"bf16": context.recipe.model.dtype == "bfloat16"}


def _refused(context: Context, error: Exception) -> Finding:
    if isinstance(error, UserError):
        return Finding(f"stages.{context.name}.trl", error.what, error.hint)
    return Finding(f"stages.{context.name}.trl", f"TRL refuses these settings ({first_line(error)})")
