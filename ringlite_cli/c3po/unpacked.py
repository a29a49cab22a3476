"""A packed row run sample by sample, for models that do not hold the samples of a row apart.

`unpack` changes what a decoder does with a packed row: it runs the samples next to each other in padded batches, or one
after the other, and puts their hidden states where the row has them. All that comes behind (head, loss, metrics, router
losses) is as with packed rows: the same loss, the same budget, equal gradients. It costs the padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

Way = Literal["packed", "padded", "alone"]
"""How the samples of a row are run: side by side, in padded batches, or one after the other."""
SLACK = 1.25
"""How much longer than the shortest of its padded batch a sample may be."""
_MARK = "_ringlite_unpacks"
_BORDERS = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")


@dataclass
class _Unpacking:
    """What a decoder did before, and how it runs samples now. one_batch: all of a row's samples in a single pass."""

    forward: Any
    way: Way
    one_batch: bool


def unpack(decoder: nn.Module, way: Way, *, one_batch: bool = False) -> None:
    """Let a decoder run the samples of packed rows in padded batches or alone; "packed" undoes that.

    one_batch: a single padded batch a row, so that all ranks make the same passes (sharded weights need that).
    """
    before = getattr(decoder, _MARK, None)
    if before is not None:
        del decoder.forward, decoder._ringlite_unpacks
    if way == "packed":
        return
    unpacking = _Unpacking(decoder.forward, way, one_batch)

    def forward(*args: Any, **kwargs: Any) -> Any:
        samples = _samples(args, kwargs)
        return unpacking.forward(*args, **kwargs) if samples is None else _run(unpacking, samples, args, kwargs)

    setattr(decoder, _MARK, unpacking)
    decoder.forward = forward


def way_of(decoder: nn.Module) -> Way:
    """Return how a decoder runs the samples of a packed row."""
    unpacking = getattr(decoder, _MARK, None)
    return unpacking.way if unpacking else "packed"


def _samples(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[int, int]] | None:
    """(start, end) of each sample of a packed row; None where the call is no row of several samples."""
    ids = args[0] if args else kwargs.get("input_ids")
    positions = kwargs.get("position_ids")
    if ids is None or len(args) > 1 or ids.shape[0] != 1 or kwargs.get("past_key_values") is not None:
        return None
    if kwargs.get("attention_mask") is not None or not isinstance(positions, Tensor) or positions.shape != ids.shape:
        return None
    starts = [0, *((positions[0].diff() != 1).nonzero()[:, 0] + 1).tolist(), ids.shape[1]]
    return list(pairwise(starts))


def _run(
    unpacking: _Unpacking, samples: Sequence[tuple[int, int]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    ids = args[0] if args else kwargs["input_ids"]
    inputs = {name: x for name, x in kwargs.items() if name not in ("input_ids", "position_ids", *_BORDERS)}
    hidden: list[tuple[int, Tensor]] = []  # each sample's start, with its states
    logits: list[list[Tensor]] = []  # router logits of each batch's real tokens, layer by layer
    order: list[int] = []
    out: Any = None
    for group in _groups(samples, unpacking):
        longest = max(end - start for start, end in group)
        batch = ids.new_zeros(len(group), longest)
        real = torch.zeros(len(group), longest, dtype=torch.bool, device=ids.device)
        for place, (start, end) in enumerate(group):
            batch[place, : end - start] = ids[0, start:end]
            real[place, : end - start] = True
            order += range(start, end)
        out = unpacking.forward(input_ids=batch, **inputs)
        states = out.last_hidden_state
        hidden += [(start, states[place, : end - start]) for place, (start, end) in enumerate(group)]
        logits.append([_real(x, real) for x in getattr(out, "router_logits", None) or ()])
    out.last_hidden_state = torch.cat([states for _, states in sorted(hidden, key=lambda x: x[0])])[None]
    if logits[0]:
        back = torch.tensor(order, device=ids.device).argsort()
        out.router_logits = tuple(torch.cat(layer)[back] for layer in zip(*logits, strict=True))
    return out


def _groups(samples: Sequence[tuple[int, int]], unpacking: _Unpacking) -> list[list[tuple[int, int]]]:
    """The samples of each pass: all, those of like length, or one."""
    if unpacking.way == "alone":
        return [[sample] for sample in samples]
    if unpacking.one_batch:
        return [list(samples)]
    groups: list[list[tuple[int, int]]] = []
    for start, end in sorted(samples, key=lambda span: (span[0] - span[1], span[0])):
        longest = groups[-1][0][1] - groups[-1][0][0] if groups else 0
        if groups and longest <= SLACK * (end - start) + 4:
            groups[-1].append((start, end))
        else:
            groups.append([(start, end)])
    return groups


def _real(logits: Any, real: Tensor) -> Tensor:
    """(n, Ne) router logits of the real tokens, from 2-D or 3-D logits, bare or first in a tuple."""
    x = logits[0] if isinstance(logits, tuple | list) else logits
    return x.reshape(-1, x.shape[-1])[real.reshape(-1)]
