"""How large a model is, and how much of it a token passes, without its weights."""

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
