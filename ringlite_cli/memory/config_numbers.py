"""Numbers of a transformers config under the names that families give them. No torch."""

from typing import Any

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""What families call the experts of a layer that tokens are routed to."""
CHOSEN = ("num_experts_per_tok", "moe_k", "moe_topk", "num_experts_per_token")
"""What they call those of them that a token is sent to."""


def number(config: Any, *names: str) -> int:
    """Return the first of these fields that is there; the largest, where it differs from layer to layer; else 0."""
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, list | tuple):
            value = max((x for x in value if isinstance(x, int)), default=None)
        if value:
            return int(value)
    return 0


def attention(config: Any) -> tuple[int, int, int]:
    """Return the heads of queries, those of keys, and the width of one; zeros for a model without attention."""
    heads = number(config, "num_attention_heads")
    if not heads:
        return 0, 0, 0
    width = number(config, "head_dim") or number(config, "hidden_size") // heads
    return heads, number(config, "num_key_value_heads") or heads, width


def experts(config: Any) -> tuple[int, int, int]:
    """Return the experts that a token is sent to, the width of one, and that of those which all tokens pass."""
    chosen = number(config, *CHOSEN)
    if not chosen or not number(config, *EXPERTS):
        return 0, 0, 0
    width = number(config, "moe_intermediate_size", "intermediate_size")
    shared = number(config, "shared_expert_intermediate_size")
    counts = number(config, "moe_num_shared_experts", "num_shared_experts", "n_shared_experts")
    return chosen, width, shared or counts * width
