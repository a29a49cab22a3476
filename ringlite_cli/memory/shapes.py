"""A model's shape, read from the model itself: with weights, or on the meta device without."""

from collections import Counter
from functools import partial
from typing import Any

from ringlite_cli.config_numbers import experts
from ringlite_cli.memory.held import Shape

_counted: dict[Any, tuple[float, float] | None] = {}
"""What a token takes, by network and way of training."""
_idle_kinds: dict[Any, frozenset[str]] = {}
"""Kinds of an adapter's parameters that get no gradient, by network."""


def shape_of(network: Any) -> Shape:
    """Return the shape of a transformers model, or of one under a peft wrapper."""
    base = base_of(network)
    prefix = getattr(network, "prefix", None)
    sizes = [(name, p.numel(), p.requires_grad) for name, p in network.named_parameters()]
    own = [(name, size) for name, size, _ in sizes if prefix is None or prefix not in name]
    ends = {id(layer.weight): layer.weight.numel() for layer in _ends(base)}
    blocks: Counter[str] = Counter()
    for name, size in own:
        if number := next((part for part in name.split(".") if part.isdigit()), None):
            blocks[name.partition(f".{number}.")[0] + number] += size
    config = base.config.get_text_config()
    return Shape(
        total=sum(size for _, size in own),
        trained=sum(size for _, size, grad in sizes if grad),
        embedding=sum(ends.values()),
        block=max(blocks.values(), default=0),
        config=config,
        adapted=_adapted(base, experts(config)[0]) if base is not network else 0,
        frozen=sum(size for _, size, grad in sizes if not grad) if base is network else 0,
        idle=_idle(network) if base is not network else 0,
        tried=partial(_tried, network),
    )


def _idle(network: Any) -> int:
    """Return the parameters of an adapter that no gradient reaches."""
    from ringlite_cli.memory.tried import idle_kinds, kind_of

    key = (type(network.get_base_model()), _sizes(network))
    if key not in _idle_kinds:
        _idle_kinds[key] = idle_kinds(network)
    return sum(p.numel() for name, p in network.named_parameters() if kind_of(name) in _idle_kinds[key])


def _sizes(network: Any) -> tuple[Any, ...]:
    return tuple((name, tuple(p.shape), p.requires_grad) for name, p in network.named_parameters())


def _tried(network: Any, wide: bool, checkpointing: bool, fused: bool, eager: bool) -> tuple[float, float] | None:
    """Return the bytes of a token, and of a pair, in a pass; counted once for networks of one kind and size."""
    from ringlite_cli.memory.tried import bytes_of_token

    key = (type(base_of(network)), _sizes(network), wide, checkpointing, fused, eager)
    if key not in _counted:
        _counted[key] = bytes_of_token(network, wide=wide, checkpointing=checkpointing, fused=fused, eager=eager)
    return _counted[key]


def base_of(network: Any) -> Any:
    """Return the model under a peft wrapper; a model without one as it is."""
    return network.get_base_model() if hasattr(network, "peft_config") else network


def _adapted(base: Any, chosen: int) -> int:
    """Numbers that an adapter keeps of a token: for each layer that it changes, a copy of the input, and the ranks.

    chosen: experts that a token is sent to, each of which has an input of its own.
    """
    found = 0
    for module in base.modules():
        ranks, width = getattr(module, "r", None), getattr(module, "in_features", None)
        kind = type(module).__name__
        if isinstance(ranks, dict) and isinstance(width, int) and kind != "Embedding":  # whose inputs are token ids
            found += (chosen if kind == "ParamWrapper" else 1) * (width + sum(ranks.values()))
    return found


def _ends(base: Any) -> list[Any]:
    layers = (base.get_input_embeddings(), base.get_output_embeddings())
    return [getattr(layer, "base_layer", layer) for layer in layers if layer is not None]
