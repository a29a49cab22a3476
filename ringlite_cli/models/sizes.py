"""How large a model is, and how much of it a token passes, without its weights."""

import re
from pathlib import Path
from typing import Any

from ringlite_cli.config_numbers import expert_counts, routed_experts

_LITE = ("Ling-lite-1.5", "Ring-lite", "Ring-lite-2507")
_MINI = ("Ling-mini-2.0", "Ring-mini-2.0")
_FLASH = ("Ling-flash-2.0", "Ring-flash-2.0")
_WIDE = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 9216}
_WIDE |= {"moe_intermediate_size": 1024}
_HALF = {"partial_rotary_factor": 0.5}
_BASE = _HALF | {"num_nextn_predict_layers": 1}
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"inclusionAI/{name}": ("bailing_moe", {}) for name in _LITE},
    **{f"inclusionAI/{name}": ("bailing_moe_v2", _HALF) for name in _MINI},
    **{f"inclusionAI/{name}": ("bailing_moe_v2", _HALF | _WIDE) for name in _FLASH},
    "inclusionAI/Ling-mini-base-2.0": ("bailing_moe_v2", _BASE),
    "inclusionAI/Ling-flash-base-2.0": ("bailing_moe_v2", _BASE | _WIDE),
}
"""Hub ids whose size is known here: model_type, and the fields that differ from its config's defaults."""
_OF_EXPERTS = re.compile(r"(?:^|\.)experts\.")
_networks: dict[tuple[str, str], Any] = {}
"""(class of the config, the config as JSON) -> the network on torch's meta device."""


def published_config(name: str) -> Any:
    """The config of a hub id without asking the hub: of one whose size is known here, or from the local cache.

    Raises OSError where neither has it.
    """
    from transformers import AutoConfig

    if name in PUBLISHED:
        kind, fields = PUBLISHED[name]
        return AutoConfig.for_model(kind, **fields)
    return AutoConfig.from_pretrained(name, local_files_only=True)


def config_of(model: Any) -> Any:
    """Return the config that a recipe's `model` section describes; None where none can be read, as in a GGUF file.

    Raises what transformers raises for a config that it refuses.
    """
    from transformers import AutoConfig

    from ringlite_cli.models import register

    register()
    if model.new:
        fields = {**model.new.config, "vocab_size": model.new.vocab_size}
        return AutoConfig.for_model(fields.pop("model_type"), **fields)
    if model.path and not model.gguf_file:
        folder = Path(model.path).expanduser()
        return AutoConfig.from_pretrained(folder) if folder.is_dir() else published_config(model.path)
    return None


def network_without_weights(model: Any) -> Any:
    """Return the network that a recipe's `model` section describes, without memory; None where no config is there.

    The same config gives the same object, made once a process: a caller that changes it works on a copy. Raises what
    transformers raises for a config that it refuses.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config = config_of(model)
    if config is None:
        return None
    key = (type(config).__name__, config.to_json_string(use_diff=False))
    if key not in _networks:
        with torch.device("meta"):
            _networks[key] = AutoModelForCausalLM.from_config(config)
    return _networks[key]


def model_sizes(model: Any) -> tuple[int, int] | None:
    """Return the parameters of a recipe's model, all and those that a token passes; None where no config is at hand."""
    try:
        network = network_without_weights(model)
    except Exception:  # transformers refuses with many kinds; other checks say why
        return None
    return network and (int(network.num_parameters()), active_parameters(network))


def is_routed(config: Any, name: str, weight: Any) -> bool:
    """Return whether a weight is met by the tokens alone that a router sends to it.

    It is one expert's, or all of a layer's are stacked in it, by any name. config: a transformers text config.
    """
    return bool(_OF_EXPERTS.search(name)) or (weight.dim() == 3 and weight.shape[0] == routed_experts(config))


def active_parameters(network: Any) -> int:
    """Parameters that one token passes: of routed experts, stacked or one by one, the share that it is sent to."""
    config = network.config.get_text_config()
    count, chosen = expert_counts(config)
    total = 0
    for name, parameter in network.named_parameters():
        routed = count and is_routed(config, name, parameter)
        total += parameter.numel() * chosen // count if routed else parameter.numel()
    return total
