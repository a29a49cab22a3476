"""What a token of a packed row takes in a training pass. No torch."""

from typing import Any

from ringlite_cli.config_numbers import attention, experts, number

_NORMS_BEHIND = ("gemma2", "gemma3_text", "gemma3n_text", "gemma4_text", "glm4")
"""Families with two norms more in a layer, behind attention and feed-forward."""
_NORMS_OF_KEYS = ("gemma3_text", "gemma3n_text", "gemma4_text", "olmo2", "olmo3")
"""Families whose norms of queries and keys work in float32 throughout, or over all heads at once."""
_NORMS_OF_HEADS = ("qwen3", "qwen3_moe")
"""Families whose norms of queries and keys have float32 weights under autocast, and so float32 outputs."""
_ROUTES_IN_FLOAT32 = ("afmoe", "deepseek_v2", "minimax", "minimax_m2", "minimax_m3_vl_text", "mixtral")
"""Mixtures whose weights of experts are float32 under autocast too, and so is each expert's output times its weight."""
_OWN_GATES = ("gpt_oss",)
"""Mixtures whose experts clamp and shift both halves of the gate, and keep them before and behind that."""
_SINKS = ("gpt_oss", "mimo_v2_flash")
"""Families whose eager attention takes a softmax in 16 bits, beside sinks."""


def activation_bytes(
    config: Any, *, checkpointing: bool, fused: bool = False, wide: bool = False, adapter: int = 0, scores: int = 0
) -> int:
    """Return what a training pass keeps and works with for a token, at most, in bytes, computed in 16 bits.

    Counted per layer, in numbers: hidden states (norms, residuals, projections), the query's width, a key's, and the
    feed-forward's; in the backward pass, the gradients of the widest part. With checkpointing: one hidden state a
    layer, and one layer in full.

    fused: norms and the feed-forward's product by fused kernels. wide: hidden states between layers are float32, as
    float32 weights make them under autocast. adapter: numbers that the adapted layers of the whole model keep of a
    token (see `Shape.adapted`), beside frozen weights, which need no inputs for a gradient; 0 where all is trained.
    scores: tokens for each of which eager attention keeps a token's scores by every head; 0 for attention that keeps
    none (flash, sdpa).
    """
    hidden, layers = number(config, "hidden_size"), number(config, "num_hidden_layers")
    heads, keys, head = attention(config)
    states = (4 if fused else 8) // (2 if adapter else 1) + 5 * wide
    kept = (
        states * hidden
        + _more_norms(config, fused, wide)
        + 4 * (heads + keys) * head
        + _feed_forward(config, fused, bool(adapter))
    )
    matrices, at_work = _matrices(config) if scores else (0.0, 0.0)
    layer = 2 * kept + (2 * adapter // layers if layers else 0) + int(2 * matrices * heads * scores)
    working = 2 * _working(config, bool(adapter)) + int(2 * at_work * heads * scores)
    if checkpointing:
        return (4 if wide else 2) * hidden * layers + layer + working
    return layer * layers + working


def _more_norms(config: Any, fused: bool, wide: bool) -> int:
    """Numbers that a layer keeps of a token for norms that most families do not have.

    Fused ones keep their input, plain ones a copy in float32 and their output; Gemma's multiply in float32 too.
    """
    kind, hidden = str(getattr(config, "model_type", "")), number(config, "hidden_size")
    behind = 2 if kind in _NORMS_BEHIND else 0
    if fused:
        return behind * hidden
    heads, keys, head = attention(config)
    per_number = 3 * (kind in _NORMS_OF_KEYS) + 2 * (wide and kind in _NORMS_OF_HEADS)
    of_keys = per_number * (heads + keys) * head
    return (3 * behind + (2 + behind) * kind.startswith("gemma")) * hidden + of_keys


def _matrices(config: Any) -> tuple[float, float]:
    """Return the matrices of scores, in numbers of 16 bits, that a layer of eager attention keeps, and works with.

    A softmax in float32 keeps its output and a copy in 16 bits; capped scores are kept before the softmax too.
    """
    if getattr(config, "model_type", "") in _SINKS:
        return 1.0, 1.3
    return (4.0, 3.2) if number(config, "attn_logit_softcapping") else (3.0, 3.5)


def scoring_bytes(config: Any, width: int) -> int:
    """Return what a forward pass without a backward takes of a token, by numbers of `width` bytes: one layer's work."""
    return activation_bytes(config, checkpointing=True) * width // 2


def _feed_forward(config: Any, fused: bool, frozen: bool) -> int:
    """Numbers that a layer's feed-forward keeps of a token.

    In a mixture these are of the experts that it is sent to, whose inputs and outputs are kept for each; its experts,
    shared ones too, have no fused kernels. frozen: what only the gradients of its weights need is not kept.
    """
    hidden = number(config, "hidden_size")
    chosen, width, shared = experts(config)
    if not chosen:
        return (4 - fused - frozen) * _width(config)
    widths = 4 + 3 * (getattr(config, "model_type", "") in _OWN_GATES)
    if frozen:
        return chosen * ((widths - 1) * width + hidden) + 3 * shared
    return chosen * (widths * width + 2 * hidden) + 4 * shared


def _working(config: Any, adapter: bool) -> int:
    """Numbers of a token that the backward pass of a layer works with, beside what the pass before it has kept.

    Gradients of the feed-forward's product, of each expert's output, and for an adapter those of its input in float32
    and in 16 bits beside the frozen layer's.
    """
    chosen, width, _ = experts(config)
    if chosen:
        hidden = number(config, "hidden_size")
        in_float32 = 3 * hidden if getattr(config, "model_type", "") in _ROUTES_IN_FLOAT32 else 0
        return chosen * (2 * max(width, hidden) + in_float32)
    return (4 if adapter else 1) * _width(config)


def _width(config: Any) -> int:
    return number(config, "intermediate_size") or 4 * number(config, "hidden_size")
