"""Numbers of a transformers config under the names that families give them. No torch."""

from collections.abc import Sequence
from typing import Any

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""What families call the experts of a layer that tokens are routed to."""
CHOSEN = (
    *("num_experts_per_tok", "moe_k", "moe_topk", "num_experts_per_token"),
    *("top_k_experts", "moe_top_k"),
)
"""What they call those of them that a token is sent to."""


def number(config: Any, *names: str) -> int:
    """Return the first of these fields that is there; the largest, where it differs from layer to layer; else 0."""
    for name in names:
        value = _value(config, name)
        if isinstance(value, list | tuple):
            value = max((x for x in value if isinstance(x, int)), default=None)
        if value:
            return int(value)
    return 0


def layer_configs(config: Any) -> Sequence[Any]:
    """Return the config of each layer: transformers has one for every layer where they differ (Gemma 4)."""
    if getattr(config, "is_heterogeneous", False):
        layers: Sequence[Any] = config.per_layer_config
        return layers
    return [config] * number(config, "num_hidden_layers")


def layer_kinds(config: Any) -> list[tuple[str, Any]]:
    """Return the kind and the config of each layer; "attention" where the family has one kind."""
    layers = layer_configs(config)
    kinds = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or ["attention"]
    return [(kinds[place % len(kinds)], layer) for place, layer in enumerate(layers)]


def window(kind: str, layer: Any) -> int:
    """Return the tokens that a layer's attention sees; 0 for all of them."""
    if kind == "chunked_attention":
        return number(layer, "attention_chunk_size")
    unused = kind == "attention" and getattr(layer, "use_sliding_window", True) is False
    if kind in ("sliding_attention", "hybrid_sliding", "attention") and not unused:
        return number(layer, "sliding_window", "attention_window_size")
    return 0


def attention(config: Any) -> tuple[int, int, int]:
    """Return the heads of queries, those of keys, and the width of one; zeros for a model without attention.

    Latent attention (DeepSeek's) computes with keys as many and as wide as queries: see `latent` for what it stores.
    """
    heads = number(config, "num_attention_heads")
    if not heads:
        return 0, 0, 0
    if latent(config):
        return heads, heads, number(config, "qk_nope_head_dim") + number(config, "qk_rope_head_dim")
    width = number(config, "head_dim", "attention_head_dim") or number(config, "hidden_size") // heads
    if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", False):
        return heads, 1, width  # Falcon 7B, StarCoder
    return heads, number(config, "num_key_value_heads", "num_kv_heads") or heads, width


def latent(config: Any) -> int:
    """Return the numbers of a token that latent attention stores in place of keys and values; 0 for other attention."""
    rank = number(config, "kv_lora_rank")
    return rank + number(config, "qk_rope_head_dim") if rank else 0


def routed_experts(config: Any) -> int:
    """Return the routed experts of a layer; 0 for a model without."""
    return number(config, *_EXPERTS)


def expert_counts(config: Any) -> tuple[int, int]:
    """Return the routed experts of a layer, and those that a token is sent to; zeros where either is not known."""
    count, chosen = routed_experts(config), number(config, *CHOSEN)
    return (count, chosen) if count and chosen else (0, 0)


def experts(config: Any) -> tuple[int, int, int]:
    """Return the experts that a token is sent to, the width of one, and that of those which all tokens pass."""
    chosen = expert_counts(config)[1]
    if not chosen:
        return 0, 0, 0
    width = number(config, "moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")
    shared = number(config, "shared_expert_intermediate_size", "shared_intermediate_size")
    counts = number(config, "moe_num_shared_experts", "num_shared_experts", "n_shared_experts")
    return chosen, width, shared or counts * width


def _value(config: Any, name: str) -> Any:
    """Return a field, or a list of what each layer has; a config whose layers differ refuses to be asked for one."""
    if getattr(config, "is_heterogeneous", False):
        return [getattr(layer, name, None) for layer in config.per_layer_config]
    return getattr(config, name, None)


def context_length(config: Any) -> int | None:
    """Return the tokens of prompt and response that a model takes, by the text part of its config; None: no bound."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)
