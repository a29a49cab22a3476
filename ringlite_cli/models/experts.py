"""One name for the number of experts, which TRL's fused head asks every mixture for."""

from typing import Any


def name_experts(config: Any) -> None:
    """Let a mixture's config answer to `num_experts` where it only knows `num_local_experts`; it is saved as before."""
    text = config.get_text_config()
    if hasattr(text, "num_local_experts") and not hasattr(text, "num_experts"):
        kind = type(text)
        kind.attribute_map = {**(kind.attribute_map or {}), "num_experts": "num_local_experts"}
