"""What a LoRA adapter would change in a model, found from its config without its weights."""

import logging
import re
import warnings
from collections.abc import Mapping
from math import prod
from typing import Any

from ringlite_cli.errors import UserError

log = logging.getLogger(__name__)

_SHOWN = 4


def check_lora(config: Any, lora: Mapping[str, Any], *, where: str = "lora", uses_vllm: bool = False) -> None:
    """Try an adapter on the architecture of a config, and warn of experts that it leaves as they are.

    lora: fields of peft's LoraConfig. uses_vllm: an engine gets the merged weights during training. Raises UserError
    for targets that match nothing, for the language-model head, and for settings that peft refuses.
    """
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    _check_names(network, lora, where)
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adapted = get_peft_model(network, lora_config(lora, where))
    except UserError:
        raise
    except Exception as error:  # peft raises ValueError, TypeError, NotImplementedError and more
        raise UserError(
            f"peft refuses these settings ({' '.join(str(error).split())[:300]})",
            where=where,
            hint=_linear_names(network),
        ) from None
    base = adapted.get_base_model()
    if _is_adapted(base.get_output_embeddings()):
        raise UserError(
            "an adapter of the language-model head would not be trained: the loss reads the head's own weights",
            where=f"{where}.target_modules",
            hint="leave the head out; all-linear does",
        )
    tied = getattr(config.get_text_config(), "tie_word_embeddings", False)
    if uses_vllm and tied and _is_adapted(base.get_input_embeddings()):
        raise UserError(
            "the embedding is tied to the head, and an adapter on it would untie them; vLLM holds one weight for both",
            where=f"{where}.target_modules",
            hint="leave the embedding out, or set trl.use_vllm: false",
        )
    _tell_what_is_left_out(adapted, lora)


def lora_config(lora: Mapping[str, Any], where: str = "lora") -> Any:
    """Return peft's LoraConfig of a recipe's section. Raises UserError for values that peft refuses."""
    from peft import LoraConfig

    fields = {"task_type": "CAUSAL_LM", "target_modules": "all-linear"} | dict(lora)
    try:
        return LoraConfig(**{name: value for name, value in fields.items() if value is not None})
    except (TypeError, ValueError) as error:
        raise UserError(f"peft refuses these settings ({str(error).splitlines()[0]})", where=where) from None


def with_adapter(network: Any, config: Any) -> Any:
    """Return a copy of a network with an adapter, both without weights, on the meta device. config: peft's."""
    import copy

    import torch
    from peft import get_peft_model

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bare = type(network)(copy.deepcopy(network.config))
        return get_peft_model(bare, copy.deepcopy(config))


def _check_names(network: Any, lora: Mapping[str, Any], where: str) -> None:
    """Raise UserError for a name in a list of targets that no module, or no parameter, ends with."""
    modules = [name for name, _ in network.named_modules()]
    parameters = [name for name, _ in network.named_parameters()]
    for key, known in (("target_modules", modules), ("target_parameters", parameters)):
        given = lora.get(key)
        for wanted in given if isinstance(given, list) else []:
            if not any(name == wanted or name.endswith(f".{wanted}") for name in known):
                hint = _linear_names(network) if key == "target_modules" else _stacked_hint(network)
                raise UserError(
                    f"{wanted!r} is in no layer of {type(network).__name__}", where=f"{where}.{key}", hint=hint
                )
        if isinstance(given, str) and given != "all-linear":
            try:
                matches = any(re.fullmatch(given, name) for name in known)
            except re.error as error:
                raise UserError(f"{given!r} is no regular expression ({error})", where=f"{where}.{key}") from None
            if not matches:
                raise UserError(
                    f"{given!r} matches no module of {type(network).__name__}",
                    where=f"{where}.{key}",
                    hint=_linear_names(network),
                )


def _linear_names(network: Any) -> str:
    import torch

    head = network.get_output_embeddings()
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    return f"linear layers are {', '.join(sorted(names))}"


def _stacked(network: Any) -> dict[str, Any]:
    """Parameters that hold one matrix for each of several experts."""
    return {name: p for name, p in network.named_parameters() if p.dim() == 3 and "expert" in name}


def _stacked_hint(network: Any) -> str:
    names = _short_names(_stacked(network))
    return f"stacked experts are {names}" if names else "this model has no stacked experts"


def _short_names(stacked: Mapping[str, Any]) -> str:
    """The names of stacked experts from the layer on: mlp.experts.gate_up_proj, mlp.experts.down_proj."""
    ends = {re.sub(r"^.*\.\d+\.", "", name).replace(".base_layer", "") for name in stacked}
    return ", ".join(sorted(ends)[:_SHOWN])


def _is_adapted(module: Any) -> bool:
    return module is not None and (hasattr(module, "base_layer") or hasattr(module, "modules_to_save"))


def _tell_what_is_left_out(adapted: Any, lora: Mapping[str, Any]) -> None:
    """Warn of stacked experts without an adapter, with their share of the weights."""
    wanted = [str(name) for name in lora.get("target_parameters") or []]
    base = adapted.get_base_model()
    left = {
        name: p
        for name, p in _stacked(base).items()
        if not any(name.replace(".base_layer", "").endswith(target) for target in wanted) and "lora_" not in name
    }
    if not left:
        return
    whole = sum(prod(p.shape) for name, p in base.named_parameters() if "lora_" not in name)
    share = sum(prod(p.shape) for p in left.values()) / max(whole, 1)
    log.warning(
        "lora: the experts (%s), %.0f %% of the weights, get no adapter, for they are no linear layers; "
        "target_parameters: [%s] adapts them",
        *(_short_names(left), 100 * share, _short_names(left)),
    )
