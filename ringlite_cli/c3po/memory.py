"""How long a packed row may be in the memory there is: longer rows are faster, until they no longer fit. No torch."""

from dataclasses import dataclass
from typing import Any

FREE = 0.1
"""Share of the memory that is left alone, for the head's tiles and for rows that are longer than the mean."""
LONGEST_ROW = 131_072
"""Past this a row gains nothing, and its kernels come near 32-bit indices."""


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Aimed tokens of a packed row, and whether its activations must be recomputed in the backward pass."""

    row_tokens: int
    gradient_checkpointing: bool


def choose_layout(
    config: Any,
    fixed_bytes: int,
    memory: int,
    longest: int,
    *,
    row_tokens: int | None = None,
    checkpointing: bool | None = None,
) -> RowLayout:
    """The longest row that fits: without checkpointing, unless that cannot hold the longest sample.

    config: a transformers text config. fixed_bytes: what weights, gradients and optimizer take (`training_bytes`).
    memory: bytes that the device has for all of it. longest: tokens of the longest sample with its prompt; a row is
    never shorter, so a model that cannot hold even that with checkpointing runs out of memory at its first step.
    row_tokens, checkpointing: what the user has decided.
    """
    room = max(0.0, (1 - FREE) * memory - fixed_bytes)
    plain, recomputed = (int(room / activation_bytes(config, checkpointing=flag)) for flag in (False, True))
    if checkpointing is None:
        checkpointing = plain < (row_tokens or longest)
    fits = min(recomputed if checkpointing else plain, LONGEST_ROW)
    return RowLayout(row_tokens or max(longest, fits), checkpointing)


def training_bytes(parameters: int, *, reference: bool, trained: int | None = None, shards: int = 1) -> int:
    """Weights in float32, with gradients and AdamW's two moments for those that are trained, and the reference's.

    trained: parameters of an adapter, where only that is trained (its reference is the model without it).
    shards: ranks that share them (FSDP2, ZeRO-3).
    """
    if trained is not None:
        return (4 * parameters + 16 * trained) // shards
    return parameters * (16 + 4 * reference) // shards


def activation_bytes(config: Any, *, checkpointing: bool) -> int:
    """What a training pass keeps of a token for its backward, in 16-bit.

    Counted per layer: 8 hidden states (norms, residuals, projections), 4 of the query's width, 8 of a key's, 4 of the
    feed-forward's. On a 0.6B model of Qwen3's shape that is 2.06 MB a token, where 1.75 were measured on an H100 (1.2
    with fused kernels). With checkpointing: one hidden state a layer, and one layer in full (0.13 MB; 0.1 measured).
    """
    hidden, heads = config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    layer = 2 * (8 * hidden + 4 * heads * head + 8 * keys * head + 4 * _feed_forward_width(config))
    if checkpointing:
        return int(2 * hidden * config.num_hidden_layers + layer)
    return int(layer * config.num_hidden_layers)


def _feed_forward_width(config: Any) -> int:
    """Of a token: in a mixture, of the experts that it is sent to together."""
    chosen = getattr(config, "num_experts_per_tok", None) or getattr(config, "moe_k", None)
    width = getattr(config, "moe_intermediate_size", None)
    if chosen and width:
        shared = getattr(config, "moe_num_shared_experts", 0) or getattr(config, "num_shared_experts", 0) or 0
        return int(width * (chosen + shared))
    return int(getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
