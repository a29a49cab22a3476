"""What a launcher's configuration says of sharding: FSDP2, or nothing; other ways are refused by name."""

import os
from collections.abc import Mapping

from ringlite_cli.errors import UserError

READ_ONCE = "FSDP_CPU_RAM_EFFICIENT_LOADING"
"""accelerate's switch, which transformers reads whenever it loads weights."""
NUMBER_FORMAT = "ACCELERATE_MIXED_PRECISION"
"""accelerate's default for autocast, by the launcher's `mixed_precision`."""
FSDP2 = '"$(ringlite launcher fsdp2)"'
_WHERE = "the launcher's configuration"


def launched_sharded(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the launcher of this process asks for FSDP2. Raises UserError where it asks for another way."""
    if _on(environment, "ACCELERATE_USE_DEEPSPEED"):
        raise UserError(
            "DeepSpeed is not supported",
            where=f"{_WHERE} (distributed_type)",
            hint=f"shard by FSDP2 (accelerate launch --config_file {FSDP2} ...), or not at all (ringlite launcher ddp)",
        )
    if _on(environment, "ACCELERATE_USE_MEGATRON_LM"):
        raise UserError(
            "Megatron-LM is not supported",
            where=f"{_WHERE} (distributed_type)",
            hint=f"shard by FSDP2 (accelerate launch --config_file {FSDP2} ...)",
        )
    if _on(environment, "ACCELERATE_USE_PARALLELISM_CONFIG"):
        raise UserError(
            "tensor, context and sequence parallelism are not supported",
            where=f"{_WHERE} (parallelism_config)",
            hint=f"leave it out; ranks train on different rows, and share weights out by FSDP2 (--config_file {FSDP2})",
        )
    if (compiler := environment.get("ACCELERATE_DYNAMO_BACKEND", "no")).lower() not in ("no", ""):
        raise UserError(
            f"dynamo_backend: {compiler} would compile the model, whatever the recipe says",
            where=f"{_WHERE} (dynamo_config)",
            hint="leave it out; trl.torch_compile of an sft or rl section compiles",
        )
    if not _on(environment, "ACCELERATE_USE_FSDP"):
        return False
    if environment.get("FSDP_VERSION", "1") != "2":
        raise UserError(
            "FSDP1 is not supported",
            where=f"{_WHERE} (fsdp_config.fsdp_version)",
            hint="set it to 2, as the file does that `ringlite launcher fsdp2` names",
        )
    if environment.get("FSDP_STATE_DICT_TYPE", "FULL_STATE_DICT") not in ("FULL_STATE_DICT", "SHARDED_STATE_DICT"):
        raise UserError(
            f"fsdp_state_dict_type: {environment['FSDP_STATE_DICT_TYPE']} is not one of FSDP2's types",
            where=f"{_WHERE} (fsdp_config)",
            hint="set it to FULL_STATE_DICT or SHARDED_STATE_DICT",
        )
    if (policy := environment.get("FSDP_AUTO_WRAP_POLICY", "NO_WRAP")) != "TRANSFORMER_BASED_WRAP":
        raise UserError(
            f"fsdp_auto_wrap_policy: {policy} does not share out layer by layer",
            where=f"{_WHERE} (fsdp_config)",
            hint="set it to TRANSFORMER_BASED_WRAP, else a GPU gathers more than a layer at a time",
        )
    if _on(environment, "FSDP_ACTIVATION_CHECKPOINTING"):
        raise UserError(
            "fsdp_activation_checkpointing: true renames weights, which would be missing in what is saved",
            where=f"{_WHERE} (fsdp_config)",
            hint="leave it out; trl.gradient_checkpointing: true in the recipe does the same",
        )
    if environment.get("FSDP_IGNORED_MODULES"):
        raise UserError(
            "fsdp_ignored_modules: gradients of what is not shared out would stay each rank's own",
            where=f"{_WHERE} (fsdp_config)",
            hint="leave it out",
        )
    return True


def read_everywhere() -> None:
    """Have every rank read what it loads, whatever the launcher's configuration says.

    transformers would give engines of later stages zeros in place of weights on all ranks but a machine's first. Where
    weights will be shared out, training itself has one rank of a machine read them.
    """
    if READ_ONCE in os.environ:
        os.environ[READ_ONCE] = "false"


def leave_dtype_to_recipe() -> None:
    """Have the recipe's `dtype` decide what is computed in, whatever `mixed_precision` the launcher's file has.

    accelerate would compute in the launcher's format wherever TRL's config names none, as for a recipe of float32.
    """
    os.environ.pop(NUMBER_FORMAT, None)


def _on(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").lower() in ("true", "1", "yes")
