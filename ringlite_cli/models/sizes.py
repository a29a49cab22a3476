"""How large a model is, and how much of it a token passes, without its weights."""

from pathlib import Path
from typing import Any

PUBLISHED = ("inclusionAI/Ling-lite-1.5", "inclusionAI/Ring-lite", "inclusionAI/Ring-lite-2507")
"""Of Ling-lite-1.5's size, which is what BailingMoeConfig describes by default."""


def published_config(name: str) -> Any:
    """The config of a hub id without asking the hub: of one whose size is known here, or from the local cache.

    Raises OSError where neither has it.
    """
    from transformers import AutoConfig

    from ringlite_cli.models.bailing_moe import BailingMoeConfig

    if name in PUBLISHED:
        return BailingMoeConfig()
    return AutoConfig.from_pretrained(name, local_files_only=True)


def network_without_weights(model: Any) -> Any:
    """Return the network that a recipe's `model` section describes, without memory; None where no config is there.

    Raises what transformers raises for a config that it refuses.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from ringlite_cli.models import register

    register()
    if model.new:
        fields = {**model.new.config, "vocab_size": model.new.vocab_size}
        config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    elif model.path and not model.gguf_file:
        folder = Path(model.path).expanduser()
        config = AutoConfig.from_pretrained(folder) if folder.is_dir() else published_config(model.path)
    else:
        return None
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def model_sizes(model: Any) -> tuple[int, int] | None:
    """Return the parameters of a recipe's model, all and those that a token passes; None where no config is at hand."""
    try:
        network = network_without_weights(model)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return network and (int(network.num_parameters()), active_parameters(network))


def active_parameters(network: Any) -> int:
    """Parameters that one token passes: of stacked experts, the share that it is sent to."""
    config = network.config.get_text_config()
    experts = getattr(config, "num_experts", None) or 1
    chosen = getattr(config, "num_experts_per_tok", None) or 1
    total = 0
    for name, parameter in network.named_parameters():
        routed = ".experts." in name and parameter.shape[0] == experts
        total += parameter.numel() * chosen // experts if routed else parameter.numel()
    return total
