"""What a token of a row takes in a training pass, counted in a pass and its backward of the architecture itself.

The pass has tensors without numbers (torch's fake tensors): it takes no memory, and the sizes are the real ones. Of
layers that are alike one is passed, and then two: the second is what each further one takes.
"""

import logging
import re
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ringlite_cli.config_numbers import layer_kinds
from ringlite_cli.memory.caches import cache_of
from ringlite_cli.memory.shapes import base_of

log = logging.getLogger(__name__)

_ATTENTION = "ringlite_counted"
_TOKENS = (2**19, 2**20)
"""Of passes, in whose differences is nothing of the weights; so many that gradients of weights are small beside."""
_OF_PAIRS = (2**14, 2**15, 3 * 2**14)
"""Of passes whose attention keeps something of every pair of tokens."""
_SHORT = 16
"""Of a pass that only shows which weights get a gradient."""
_KERNELS = ("mamba_ssm", "causal_conv1d", "fla")
"""Packages whose kernels transformers takes for layers with a state: they keep less, and need numbers on a GPU."""
_MOST, _MOST_OF_PAIRS = 8_000, 30_000
"""Operations of a pass; one that loops over tokens has more, and would take long."""


def bytes_of_token(
    network: Any, *, wide: bool, checkpointing: bool, fused: bool = False, eager: bool = False
) -> tuple[float, float] | None:
    """Return the bytes that a training pass keeps and works with for a token, and for a pair of tokens of a sample.

    network: a transformers model or one under a peft wrapper, with or without weights; it is left as it is. wide:
    its weights are float32 under autocast, else they are in bfloat16, with an adapter in float32. fused: norms and the
    feed-forward's product are fused kernels (liger). eager: attention is the model's own; else it keeps what flash
    attention does, and nothing of pairs. None where no such pass can be made.
    """
    try:
        with _quiet(), FakeTensorMode(), torch.device("cpu"), _counted_attention():
            made = _without_numbers(network, wide=wide, checkpointing=checkpointing, eager=eager)
            if fused:
                _take_fused_kernels(made)
            if not eager:
                few, many = (_peak_of_all_layers(made, tokens) for tokens in _TOKENS)
                return (many - few) / (_TOKENS[1] - _TOKENS[0]), 0.0
            once, twice, thrice = (_peak_of_all_layers(made, tokens, pairs=True) for tokens in _OF_PAIRS)
            pair = (thrice - 2 * twice + once) / (2 * _OF_PAIRS[0] ** 2)
            return (twice - once) / _OF_PAIRS[0] - 3 * pair * _OF_PAIRS[0], pair
    except Exception as error:  # an architecture that looks at numbers, or has no such pass
        log.debug("no pass of %s could be counted: %s", type(network).__name__, error)
        return None


def idle_kinds(network: Any) -> frozenset[str]:
    """Return the kinds of an adapter's parameters that no gradient reaches (see `kind_of`); none where none is known.

    A model may read the weight of a layer itself, or not its output: an adapter there stays as it is.
    """
    try:
        with _quiet(), FakeTensorMode(), torch.device("cpu"), _counted_attention(), ExitStack() as stack:
            made = _without_numbers(network, wide=False, checkpointing=False)
            base = base_of(made)
            config = base.config.get_text_config()
            layers = _layer_list(_decoder_of(base), config)
            if layers is not None:
                made_of_first = [kind[0] for kind in _alike(list(layers), config)]
                stack.enter_context(_only(layers, config, made_of_first))
            asked: dict[str, bool] = {}
            for name, parameter in made.named_parameters():
                if parameter.requires_grad and ".lora_" in name:
                    asked.setdefault(kind_of(name), False)
                    parameter.register_post_accumulate_grad_hook(partial(_note, asked, kind_of(name)))
            _peak(made, _decoder_of(base), _SHORT, pairs=True)
    except Exception as error:
        log.debug("no pass of %s could be tried: %s", type(network).__name__, error)
        return frozenset()
    return frozenset(kind for kind, reached in asked.items() if not reached)


def kind_of(name: str) -> str:
    """Return a parameter's name without the numbers of its layer and its expert."""
    return re.sub(r"\.\d+(?=\.)", ".*", name)


def _note(asked: dict[str, bool], kind: str, _: Any) -> None:
    asked[kind] = True


def _decoder_of(base: Any) -> Any:
    """Return the part of a model that gives hidden states: of some, as Llama 4's text model, the prefix names none."""
    return base.base_model if base.base_model is not base else getattr(base, "model", base)


def _peak_of_all_layers(network: Any, tokens: int, *, pairs: bool = False) -> float:
    """Return the bytes alive at most in a pass. pairs: some may be of every pair of tokens."""
    base = base_of(network)
    config = base.config.get_text_config()
    layers = _layer_list(_decoder_of(base), config)
    if layers is None:
        return _peak(network, _decoder_of(base), tokens, pairs=pairs)
    alike = _alike(list(layers), config)

    def with_layers(chosen: Sequence[int]) -> int:
        with _only(layers, config, chosen):
            return _peak(network, _decoder_of(base), tokens, pairs=pairs)

    first = [kind[0] for kind in alike]
    once = with_layers(first)
    more = [(len(kind) - 1) * (with_layers([*first, kind[1]]) - once) for kind in alike if len(kind) > 1]
    return once + sum(more)


@contextmanager
def _only(layers: Any, config: Any, chosen: Sequence[int]) -> Iterator[None]:
    """Leave some of a model's layers in their list, and their kinds in its config: a decoder may ask these by place."""
    whole, kinds = layers._modules, config.__dict__.get("layer_types")
    layers._modules = {str(place): whole[str(index)] for place, index in enumerate(sorted(chosen))}
    if kinds:
        config.__dict__["layer_types"] = [kinds[index % len(kinds)] for index in sorted(chosen)]
    try:
        yield
    finally:
        layers._modules = whole
        if kinds:
            config.__dict__["layer_types"] = kinds


def _layer_list(decoder: Any, config: Any) -> Any:
    """Return the list of a decoder's layers; None where it has none, or two."""
    count = getattr(config, "num_hidden_layers", 0)
    found = [x for x in decoder.children() if isinstance(x, torch.nn.ModuleList) and len(x) == count]
    return found[0] if len(found) == 1 else None


def _alike(layers: Sequence[Any], config: Any) -> list[list[int]]:
    """Return the places of layers that are of one kind and size, kind by kind."""
    kinds = [kind for kind, _ in layer_kinds(config)]
    found: dict[Any, list[int]] = {}
    for place, layer in enumerate(layers):
        sizes = tuple((name, tuple(p.shape)) for name, p in layer.named_parameters())
        found.setdefault((type(layer), kinds[place], sizes), []).append(place)
    return list(found.values())


def _peak(network: Any, decoder: Any, tokens: int, *, pairs: bool = False) -> int:
    """Return the bytes alive at most in a pass and its backward, beside weights, and their gradients."""
    ids = torch.zeros(1, tokens, dtype=torch.long)
    known = [*network.parameters(), *network.buffers()]
    alive = _Alive(known, None if pairs else tokens**2)
    with alive, _EndsWith(alive), torch.autocast("cpu", torch.bfloat16):
        out = decoder(input_ids=ids, use_cache=False)
        loss = out.last_hidden_state.float().sum()
        with torch.autocast("cpu", enabled=False):
            loss.backward()
    if alive.fault:
        raise RuntimeError(alive.fault)
    return alive.peak


def _without_numbers(network: Any, *, wide: bool, checkpointing: bool, eager: bool = False) -> Any:
    """Return a copy of a network with fake tensors, set to train as a run would; belongs into a FakeTensorMode."""
    adapted = hasattr(network, "peft_config")
    copied: dict[int, Any] = {}
    for parameter in network.parameters():
        narrow = not (wide or (adapted and parameter.requires_grad))
        fake = torch.empty(tuple(parameter.shape), dtype=torch.bfloat16 if narrow else torch.float32)
        copied[id(parameter)] = torch.nn.Parameter(fake, requires_grad=parameter.requires_grad)
        if parameter.requires_grad:
            copied[id(parameter)].register_post_accumulate_grad_hook(_drop)
    for buffer in network.buffers():
        copied[id(buffer)] = torch.empty(tuple(buffer.shape), dtype=buffer.dtype)
    base = base_of(network)
    if cache_of(base.config.get_text_config()).state and any(map(find_spec, _KERNELS)):
        raise RuntimeError("layers with a state are computed by a package's kernels")
    made = deepcopy(network, copied).train()
    base = base_of(made)
    base.set_attn_implementation("eager" if eager else _ATTENTION)
    if base._can_set_experts_implementation():
        base.set_experts_implementation("grouped_mm")  # as on a GPU
    if checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
        base.enable_input_require_grads()
    return made


def _take_fused_kernels(network: Any) -> None:
    """Let norms and gated products keep what liger's kernels do: their inputs."""
    for module in network.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = _FusedNorm.apply
        elif all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")):
            module.forward = partial(_fused_feed_forward, module)


def _fused_feed_forward(module: Any, hidden: Any) -> Any:
    return module.down_proj(_FusedProduct.apply(module.gate_proj(hidden), module.up_proj(hidden)))


def _drop(parameter: Any) -> None:
    parameter.grad = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Let torch write no log of operations that fake tensors cannot do; what it raises says it."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def _counted_attention() -> Iterator[None]:
    """Let models choose in this block an attention that keeps what flash attention does, and has no mask."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(_ATTENTION, _attend)
    AttentionMaskInterface.register(_ATTENTION, _no_mask)
    try:
        yield
    finally:
        AttentionInterface._global_mapping.pop(_ATTENTION, None)
        AttentionMaskInterface._global_mapping.pop(_ATTENTION, None)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


def _attend(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> tuple[Any, None]:
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (x.to(torch.bfloat16) for x in (query, key, value))
    return _Kept.apply(query, key, value).transpose(1, 2).contiguous(), None


class _Kept(torch.autograd.Function):
    """Attention that computes nothing and keeps its inputs and its output."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any) -> Any:
        out = query.new_empty((*query.shape[:-1], value.shape[-1]))
        ctx.save_for_backward(query, key, value, out)
        return out

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        return tuple(torch.empty_like(x) for x in ctx.saved_tensors[:3])


class _FusedNorm(torch.autograd.Function):
    """A norm that keeps its input; its backward pass writes into the gradient that it gets."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, *_: Any) -> Any:
        ctx.save_for_backward(hidden)
        return torch.empty_like(hidden)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad


class _FusedProduct(torch.autograd.Function):
    """A product of a gate and a width that keeps both, and writes their gradients over them."""

    @staticmethod
    def forward(ctx: Any, gate: Any, up: Any) -> Any:
        ctx.save_for_backward(gate, up)
        return torch.empty_like(up)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        return ctx.saved_tensors


class _Alive(TorchDispatchMode):
    """In this block every new tensor is counted until it is freed. peak: bytes. known: tensors that do not count.

    pairs: tokens by tokens; a tensor of as many bytes has something of every pair of them, as flash attention has not.
    None: it may. fault: why the pass is not to be counted, if it is not.
    """

    def __init__(self, known: Sequence[Any], pairs: int | None) -> None:
        super().__init__()
        self._pairs = pairs
        self._known = {x.untyped_storage()._cdata for x in known}
        self._sizes: dict[int, int] = {}
        self._now = self._steps = self.peak = 0
        self.fault = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._steps += 1
        if self._steps > (_MOST if self._pairs else _MOST_OF_PAIRS):
            self.fault = f"a pass has {self._steps:,} operations, and more"
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if self._pairs is not None and storage.nbytes() >= self._pairs:
            self.fault = "a pass has a matrix of all pairs of tokens"
        if key not in self._known and key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self._now -= self._sizes.pop(key)


class _EndsWith(TorchFunctionMode):
    """Raises what speaks against a pass, before its next operation: raised within one, it may end the process."""

    def __init__(self, alive: _Alive) -> None:
        super().__init__()
        self._alive = alive

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._alive.fault:
            raise RuntimeError(self._alive.fault)
        return func(*args, **(kwargs or {}))
