"""Adapters (peft) that cannot be merged into a model's weights, or trained by RL: told by their configuration."""

from collections.abc import Iterator
from typing import Any

from ringlite_cli.errors import UserError

_MERGED = ("LORA", "ADALORA")
"""Kinds whose files `model.adapter` takes."""
_TAKES_FROM_WEIGHTS = ("pissa", "corda", "olora", "loftq", "lora_ga")
"""Initialisations that take what the adapter begins with out of the weights under it."""
_TAKES_THE_SAME_AGAIN = ("pissa", "olora")
"""Those that take the same out of the same weights whenever an adapter is made."""
_MERGE_IT = (
    "merge it by peft into the weights that it was trained on (merge_and_unload), and give that model as model.path"
)


def check_mergeable(config: Any, where: str = "") -> None:
    """Raise UserError where the adapter of a folder cannot be merged into the weights of another."""
    kind, start = _kind(config), _initialisation(config)
    if kind not in _MERGED:
        raise UserError(f"an adapter of the kind {kind}, and LoRA is merged alone", where=where, hint=_MERGE_IT)
    if start.startswith(_TAKES_FROM_WEIGHTS) and start not in _TAKES_THE_SAME_AGAIN:
        what = f"init_lora_weights: {start} took the adapter's start out of the weights, and not the same twice"
        raise UserError(what, where=where, hint=_MERGE_IT)
    for key in ("layer_replication", "alora_invocation_tokens"):
        if getattr(config, key, None):
            what = f"{key} makes more of the adapter than an addition to weights, so that it cannot be merged"
            raise UserError(what, where=where, hint="give an adapter without it")


def check_trainable(model: Any, config: Any, *, has_reference: bool, uses_vllm: bool) -> None:
    """Raise UserError for an adapter that RL would train on other numbers than it says.

    model: that a trainer is given, which may have adapters already. config: peft's, of one that it will get, or None.
    has_reference: a KL term compares with the model without its adapter. uses_vllm: an engine gets merged weights.
    """
    for each in (config, *getattr(model, "peft_config", {}).values()):
        for what, hint in _training_faults(each, has_reference, uses_vllm) if each is not None else ():
            raise UserError(what, where="peft_config", hint=hint)


def check_shareable(model: Any) -> None:
    """Raise UserError for a trained copy of the head under FSDP2: passes read its weight and never call it.

    FSDP2 shares out such a copy by itself, and then its gradient is each rank's own.
    """
    if hasattr(model.get_output_embeddings(), "modules_to_save"):
        raise UserError(
            "FSDP2 would not add up the gradients of a head in modules_to_save",
            where="peft_config",
            hint="leave the head out, or train without FSDP2 (ringlite launcher ddp)",
        )


def _training_faults(config: Any, has_reference: bool, uses_vllm: bool) -> Iterator[tuple[str, str]]:
    if uses_vllm and (kind := _kind(config)) != "LORA":
        yield (
            f"an adapter of the kind {kind} cannot be given to vLLM merged",
            "train a LoRA adapter, or without use_vllm",
        )
    if uses_vllm and getattr(config, "layer_replication", None):
        yield "layers that are repeated (layer_replication) share their weights in vLLM", "leave it out"
    if config.is_prompt_learning:
        yield "tokens that are learned before a prompt are not in packed rows", "train a LoRA adapter"
    if getattr(config, "alora_invocation_tokens", None):
        yield (
            "an adapter that begins at certain tokens is not known in packed rows",
            "leave alora_invocation_tokens out",
        )
    if not has_reference:
        return
    if (bias := getattr(config, "bias", "none")) != "none":
        yield (
            f"bias: {bias} trains biases of the model itself, which would change the reference of the KL term too",
            "set bias: none (lora_bias: true has biases of the adapter's own), or beta: 0",
        )
    start = _initialisation(config)
    if start.startswith(_TAKES_FROM_WEIGHTS) or getattr(config, "kasa_config", None):
        name = "kasa_config" if getattr(config, "kasa_config", None) else f"init_lora_weights: {start}"
        yield (
            f"{name} changes the weights under the adapter, so that the model without it is no reference",
            "set init_lora_weights: true, or beta: 0",
        )


def _kind(config: Any) -> str:
    return str(getattr(config.peft_type, "value", config.peft_type))


def _initialisation(config: Any) -> str:
    start = getattr(config, "init_lora_weights", True)
    return start.lower() if isinstance(start, str) else ""
