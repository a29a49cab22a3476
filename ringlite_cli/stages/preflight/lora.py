"""The targets of an RL stage's adapter, tried on the recipe's architecture without its weights."""

from collections.abc import Iterator
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.schema import RlStage
from ringlite_cli.stages.base import Context, Finding


def lora_fits(context: Context) -> Iterator[Finding]:
    """Check the targets of an RL stage's adapter in the recipe's model: they are there and would be trained.

    A router is among them where its losses are on.
    """
    from ringlite_cli.models.lora_targets import check_lora
    from ringlite_cli.models.sizes import network_without_weights

    section: RlStage = context.section
    if section.lora is None:
        return
    try:
        network = network_without_weights(context.recipe.model)
    except Exception:
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
        if section.router_balance_coef or section.router_z_loss_coef:
            _router_learns(network, section)
    except UserError as error:
        where = error.where if error.where.startswith("stages.") else f"stages.{context.name}: {error.where}"
        yield Finding(where, error.what, error.hint)


def _router_learns(network: Any, section: RlStage) -> None:
    """Raise UserError where the model has routers, and the adapter is of none of them though their losses are on."""
    from ringlite_cli.c3po.router import check_router_is_trained, router_parameters
    from ringlite_cli.models.lora_targets import lora_config, with_adapter

    if section.lora is not None and router_parameters(network):
        check_router_is_trained(with_adapter(network, lora_config(section.lora.model_dump())))
