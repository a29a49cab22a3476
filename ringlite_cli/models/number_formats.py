"""Weights rounded to the number format of a recipe, but for those that a model keeps in float32."""

import re
from collections.abc import Iterator
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


def in_autocast(network: Any) -> Iterator[str]:
    """Yield the names of weights that passes under autocast multiply in 16 bits: linear layers' and experts'.

    Embeddings are looked up in float32, and the head is computed in it (see `train.float32_head`). Routers are
    computed in one format or the other, as their architecture has it, and are left out.
    """
    from torch import nn

    ends = {f"{place}.weight" for place in _ends(network)}
    for place, module in network.named_modules():
        if isinstance(module, (nn.Embedding, nn.modules.conv._ConvNd)):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            is_stack = parameter.dim() == 3 and min(parameter.shape[1:]) > 1
            if (isinstance(module, nn.Linear) or is_stack) and f"{place}.{name}" not in ends:
                yield f"{place}.{name}"


def in_engines(network: Any) -> Iterator[str]:
    """Yield the names of matrices that every engine holds in its own number format: those and both ends'."""
    yield from in_autocast(network)
    yield from (f"{place}.weight" for place in _ends(network))


def _ends(network: Any) -> list[str]:
    """Where the embedding and the head are."""
    ends = [network.get_input_embeddings(), network.get_output_embeddings()]
    return [place for place, module in network.named_modules() if any(module is end for end in ends)]


def learned_finely(network: Any, accelerator: Any) -> set[str]:
    """Return the names of matrices that a trainer's passes read in float32, whose small updates are to be kept.

    Under autocast these are both ends, with FSDP2 none: it gathers all weights in the format that is computed with.
    """
    from accelerate.utils import DistributedType

    if accelerator.mixed_precision != "bf16":
        return {name for name, parameter in network.named_parameters() if parameter.dim() > 1}
    sharded = accelerator.distributed_type == DistributedType.FSDP
    return set() if sharded else {f"{place}.weight" for place in _ends(network)}
