"""The targets of an RL stage's adapter, tried on the recipe's architecture without its weights."""

from collections.abc import Iterator

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.schema import RlStage
from ringlite_cli.stages.base import Context, Finding


def lora_fits(context: Context) -> Iterator[Finding]:
    """Check that the adapter of an RL stage has targets in the recipe's model, and none that would not be trained."""
    from ringlite_cli.models.lora_targets import check_lora
    from ringlite_cli.models.sizes import network_without_weights

    section: RlStage = context.section
    if section.lora is None:
        return
    try:
        network = network_without_weights(context.recipe.model)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return  # what is wrong with the model itself is the SFT stage's to say
    if network is None:
        return
    try:
        check_lora(
            network.config,
            section.lora.model_dump(),
            where=f"stages.{context.name}.lora",
            uses_vllm=bool(section.trl.get("use_vllm")),
        )
    except UserError as error:
        yield Finding(error.where, error.what, error.hint)
