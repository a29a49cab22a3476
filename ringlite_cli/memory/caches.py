"""What a model keeps of a response while it is drawn, layer by layer: keys and values, or a state. No torch.

Layers with a window keep its tokens alone, those of linear attention a state that does not grow, and latent attention
one vector in place of keys and values. An engine does as the layers do; a plan that took all of them for full attention
would ask for several times as much.
"""

from collections import Counter
from dataclasses import dataclass
from math import ceil
from typing import Any

from ringlite_cli.config_numbers import attention, latent, layer_kinds, number, window

_STATES = ("linear_attention", "mamba")
"""Kinds of layers with a state and without keys; `hybrid` has both."""
_NOTHING = ("conv", "recurrent", "mlp", "moe", *_STATES)
"""Kinds of layers without keys and values. A few numbers of a convolution or a recurrent unit are left out."""
_HEADS = (
    "linear_num_value_heads",
    "linear_num_heads",
    "mamba_n_heads",
    "mamba_num_heads",
    "n_mamba_heads",
    "num_heads",
)
_WIDTHS = ("linear_value_head_dim", "mamba_d_head", "mamba_head_dim", "mamba_headdim", "linear_head_dim", "head_dim")
_DEPTHS = ("linear_key_head_dim", "mamba_d_state", "ssm_state_size", "linear_head_dim", "state_size")


@dataclass(frozen=True, slots=True)
class Cache:
    """Bytes on each GPU of a response under way.

    token: of each token, in layers that keep all of them. windows: (tokens that are kept, bytes of each). state: of a
    response of any length.
    """

    token: int
    windows: tuple[tuple[int, int], ...] = ()
    state: int = 0

    def of(self, length: int, ahead: int = 0) -> int:
        """Return the bytes of a response. ahead: tokens that are kept beside a window's, until a step has ended."""
        windows = sum(min(length, kept + ahead) * size for kept, size in self.windows)
        return self.token * length + windows + self.state


def cache_of(config: Any, *, width: int = 2, gpus: int = 1) -> Cache:
    """Return what a response keeps on each of the `gpus` that share an engine (tensor parallel).

    config: a transformers text config. width: bytes of a number.
    """
    token, state = 0, 0
    windows: Counter[int] = Counter()
    for kind, layer in _layers(config):
        if kind.startswith("hybrid") or kind in _STATES:
            state += 4 * ceil(_state(layer) / gpus)
        if kind in _NOTHING:
            continue
        _, keys, head = attention(layer)
        size = width * (latent(layer) or 2 * head * ceil(keys / gpus))
        if kept := window(kind, layer):
            windows[kept] += size
        else:
            token += size
    return Cache(token, tuple(sorted(windows.items())), state)


def _layers(config: Any) -> list[tuple[str, Any]]:
    """Give the kind and the config of every layer that has a cache of its own."""
    layers = layer_kinds(config)
    own = len(layers) - number(config, "num_kv_shared_layers")  # the last ones read those of others (Gemma 3n)
    return layers[:own]


def _state(layer: Any) -> int:
    """Return the numbers of a linear layer's state: a matrix for each head, or one for the whole width (Mamba)."""
    depth = number(layer, *_DEPTHS)
    if heads := number(layer, *_HEADS):
        return heads * number(layer, *_WIDTHS) * depth
    if expand := number(layer, "mamba_expand", "expand"):
        return expand * number(layer, "hidden_size") * depth
    heads, _, head = attention(layer)
    return heads * head * head  # lightning attention (MiniMax)
