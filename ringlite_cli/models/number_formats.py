"""Weights rounded to the number format of a recipe, but for those that a model keeps in float32."""

import re
from typing import Any


def stays_float32(network: Any, name: str) -> bool:
    """Return whether a tensor stays in float32 in every format: a buffer for which the architecture asks it.

    A router's bias for the choice of experts is one in Ling 2.0.
    """
    parts = getattr(network, "_keep_in_fp32_modules_strict", None) or ()
    return name in dict(network.named_buffers()) and any(
        re.search(rf"(^|\.){re.escape(part)}(\.|$)", name) for part in parts
    )


def round_weights(network: Any, dtype: Any) -> None:
    """Convert the network in place to a torch dtype, with what stays in float32 left as it is."""
    kept = {
        name: tensor.detach().clone()
        for name, tensor in (*network.named_parameters(), *network.named_buffers())
        if stays_float32(network, name)
    }
    network.to(dtype)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if name in kept:
            tensor.data = kept[name].to(tensor.device)
