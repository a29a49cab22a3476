"""A model's architecture in small: few layers, few experts, random weights in float32, every threshold within reach.

Windows, chunks and the lengths from which rotary embeddings change are made short, so that a check of some dozen tokens
passes all of them. What layers do stays what the architecture's code does.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

WINDOW, CHUNK, ORIGINAL = 8, 16, 24
"""Tokens of an attention window, of a chunk, and of the length that a rotary embedding was first trained for."""
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts")
_CHUNKS = ("chunk_size", "mamba_chunk_size", "attention_chunk_size", "attn_chunk_size", "scan_chunk_size")
_WINDOWS = ("sliding_window", "attention_window_size", "local_window_size", "window_size", "sliding_window_size")
_HEADS, _MOST_WIDE, _MOST_EXPERTS, _VOCABULARY = 4, 256, 8, 256


def shrunk(lm: Any, attention: str, device: torch.device | str = "cpu") -> nn.Module | None:
    """Return the architecture of `lm` in small, on a device in evaluation mode; None where it cannot be made."""
    for changes in (_narrow, _small, _short):
        try:
            return _made(lm, changes, attention, device)
        except Exception:  # configs and layers check themselves in ways of their own; a larger copy may still do
            continue
    return None


def _made(lm: Any, changes: Callable[[Any], None], attention: str, device: torch.device | str) -> nn.Module:
    config = copy.deepcopy(lm.config)
    for part in {id(c): c for c in (config, config.get_text_config())}.values():
        changes(part)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(5)
        config._attn_implementation = attention
        # FSDP derives a class of its own from a model's; the one below it is the architecture's
        kind = next(c for c in type(lm).__mro__ if not c.__name__.startswith("FSDP"))
        model = kind(config).float()
        _spread(model)
        model = model.to(device).eval()
        with torch.no_grad():  # what does not fit shows here at last
            model(input_ids=torch.arange(2, 6, device=device)[None], use_cache=False)
    return model


def _narrow(config: Any) -> None:
    """Shrink everything, the hidden size too: a few heads of the size that they have."""
    heads, groups = getattr(config, "num_attention_heads", None), getattr(config, "num_key_value_heads", None)
    hidden = getattr(config, "hidden_size", None)
    if isinstance(heads, int) and isinstance(hidden, int) and heads > _HEADS:
        size = getattr(config, "head_dim", None) or hidden // heads
        config.num_attention_heads = _HEADS
        if isinstance(groups, int):
            config.num_key_value_heads = max(1, _HEADS * groups // heads)
        config.hidden_size = min(hidden, _HEADS * size)
    _small(config)


def _small(config: Any) -> None:
    """Shrink all but the hidden size."""
    _short(config)
    for name in _EXPERTS:
        _lower(config, name, max(_MOST_EXPERTS, 2 * _chosen(config)))
    for name in [x for x in vars(config) if x.endswith(("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size"))]:
        _lower(config, name, _MOST_WIDE)
    if isinstance(getattr(config, "vocab_size", None), int) and config.vocab_size > _VOCABULARY:
        config.vocab_size = _VOCABULARY
        for name in [x for x in vars(config) if x.endswith("_token_id")]:
            setattr(config, name, None)


def _short(config: Any) -> None:
    """Leave out layers, and bring the thresholds near."""
    _fewer_layers(config)
    for names, size in ((_WINDOWS, WINDOW), (_CHUNKS, CHUNK)):
        for name in names:
            _lower(config, name, size)
    _lower(config, "original_max_position_embeddings", ORIGINAL)
    for rope in _ropes(config):
        if isinstance(rope.get("original_max_position_embeddings"), int):
            rope["original_max_position_embeddings"] = min(ORIGINAL, rope["original_max_position_embeddings"])
        if rope.get("rope_type", rope.get("type")) == "dynamic":
            _lower(config, "max_position_embeddings", ORIGINAL)


def _ropes(config: Any) -> Iterator[dict[str, Any]]:
    """The parameters of rotary embeddings, of all layers or of each type of layer."""
    for name in ("rope_parameters", "rope_scaling"):
        found = getattr(config, name, None)
        if isinstance(found, dict):
            yield found
            yield from (inner for inner in found.values() if isinstance(inner, dict))


def _fewer_layers(config: Any) -> None:
    name = next((x for x in _LAYERS if isinstance(getattr(config, x, None), int)), None)
    if name is None:
        return
    before = getattr(config, name)
    lists = {x: v for x, v in vars(config).items() if isinstance(v, list | tuple) and len(v) == before > 2}
    layers = min(before, max([2, *(_first_of_all(v) for v in lists.values()), *_periods(config)]))
    setattr(config, name, layers)
    for key, values in lists.items():
        setattr(config, key, type(values)(values[:layers]))


def _first_of_all(values: Any) -> int:
    """Return how many first entries of a list hold every kind of its entries, where the kinds are few."""
    kinds = {str(x) for x in values}
    if len(kinds) > 4:
        return 2
    return next(n for n in range(1, len(values) + 1) if {str(x) for x in values[:n]} == kinds)


def _periods(config: Any) -> Iterator[int]:
    """Layers that a pattern given by numbers needs: every n-th, from the n-th on."""
    for name, value in vars(config).items():
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 17:
            if name.endswith(("period", "interval", "pattern")):
                yield value
            elif name.endswith(("offset", "dense_replace", "layer_start_index")):
                yield value + 1


def _chosen(config: Any) -> int:
    """Experts that a token is sent to."""
    found = (getattr(config, name, None) for name in ("num_experts_per_tok", "moe_k", "num_experts_per_token", "top_k"))
    return next((value for value in found if isinstance(value, int)), 2)


def _lower(config: Any, name: str, most: int) -> None:
    value = getattr(config, name, None)
    if isinstance(value, int) and not isinstance(value, bool) and value > most:
        setattr(config, name, most)


def _spread(model: nn.Module) -> None:
    """Draw matrices so that activations are of size one: then attention is far from even, and a leak shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fan_in = parameter.shape[-1] if parameter.dim() > 1 else 0
            if fan_in and name.rsplit(".", 1)[-1] not in ("A_log", "D", "dt_bias") and "embed" not in name:
                nn.init.normal_(parameter, std=1.5 * fan_in**-0.5)
            elif "embed" in name and parameter.dim() > 1:
                nn.init.normal_(parameter, std=1.0)
