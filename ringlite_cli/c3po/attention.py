"""Attention over packed rows that costs the sum of its samples, not the square of the row.

One attention implementation, `NAME`, for SFT, RL and the entropy scorer. A row's sample borders (`packed_inputs`) are
given once and reach every layer as transformers' flash attention keywords. With borders:
- on CUDA in half precision, the fastest of the installed kernels that is right (`kernel_choice`);
- elsewhere, and in float32, samples of like length side by side in a padded batch, each causal within itself.
Without borders it is transformers' sdpa with its usual masks, so that the same model generates and evaluates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ringlite_cli.c3po import kernel_choice

NAME = "ringlite_packed"
SLACK = 1.25
"""How much longer than the shortest of its padded batch a sample may be."""


def register() -> str:
    """Make the attention known to transformers (once is enough); return its name, for attn_implementation."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _packed_mask)
    return NAME


def takes_borders(model: nn.Module) -> bool:
    """Return whether the model's attention wants the borders of samples, or tells them from position ids by itself."""
    name = str(getattr(model.config, "_attn_implementation", ""))
    return name == NAME or "flash" in name


def packed_inputs(borders: Sequence[int], device: torch.device | str | None = None) -> dict[str, Any]:
    """The keywords that tell attention where samples end. borders: (n + 1) row positions, from 0 to the row's length.

    Made once per row: finding the longest sample on the device would stall every layer.
    """
    places = torch.tensor(list(borders), dtype=torch.int32, device=device)
    longest = max(after - before for before, after in pairwise(borders))
    return {"cu_seq_lens_q": places, "cu_seq_lens_k": places, "max_length_q": longest, "max_length_k": longest}


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    position_ids: Tensor | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention inside each sample of a packed row; sdpa as transformers has it where nothing is packed.

    query: (1, heads, T, head_dim); key, value: (1, kv heads, T, head_dim); cu_seq_lens_q: (n + 1,) sample borders,
    found from position_ids where they are not given. Returns (1, T, heads, head_dim).
    """
    packed = query.shape[0] == 1 and attention_mask is None and query.shape[2] == key.shape[2] > 1
    if packed and cu_seq_lens_q is None and position_ids is not None:
        cu_seq_lens_q = _borders_of(position_ids, query.shape[2])
    if not packed or cu_seq_lens_q is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    query, key, value = _in_autocast_dtype(query, key, value)
    rate = dropout if module.training else 0.0
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and not rate and query.shape[-1] <= 256:
        longest = max_length_q or int(cu_seq_lens_q.diff().max())
        return _varlen(query, key, value, cu_seq_lens_q, longest, scaling, sliding_window), None
    return _by_length(query, key, value, tuple(cu_seq_lens_q.tolist()), scaling, rate, sliding_window), None


def _packed_mask(*, q_length: int, kv_length: int, **kwargs: Any) -> Tensor | None:
    """No mask for a packed row, which is the only case where transformers must not skip a mask for lack of one."""
    from transformers.masking_utils import sdpa_mask

    packed = kwargs.get("attention_mask") is None and not kwargs.get("allow_is_causal_skip", True)
    if packed and q_length == kv_length and not kwargs.get("use_vmap") and kwargs.get("batch_size") == 1:
        return None
    return sdpa_mask(q_length=q_length, kv_length=kv_length, **kwargs)


def _borders_of(position_ids: Tensor, length: int) -> Tensor | None:
    """(n + 1,) borders where position ids start again; None for position ids of another shape (3-D rotary)."""
    if position_ids.dim() != 2 or position_ids.shape != (1, length):
        return None
    starts = (position_ids[0].diff() != 1).nonzero()[:, 0] + 1
    ends = starts.new_tensor([length])
    return torch.cat([torch.zeros_like(ends), starts, ends]).int()


def _in_autocast_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Under autocast, norms and rotary embeddings leave query and key in float32; kernels want one dtype."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    return tuple(x.to(torch.get_autocast_dtype(kind)) for x in tensors)


def _varlen(
    query: Tensor, key: Tensor, value: Tensor, borders: Tensor, longest: int, scale: float | None, window: int | None
) -> Tensor:
    q, k, v = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))  # (T, heads, head_dim)
    return kernel_choice.attend(q, k, v, borders, longest, scale, window)[None]


@dataclass(frozen=True)
class _Batch:
    """Samples of like length. index: (n, L) row positions, clamped behind a sample's end; real: (n, L), or None."""

    index: Tensor
    real: Tensor | None
    longest: int


@lru_cache(maxsize=32)
def _batches(borders: tuple[int, ...], device: torch.device) -> tuple[list[_Batch], Tensor]:
    """The samples grouped by length, and for each row position its place in the batches laid end to end.

    Made once for all layers of a row.
    """
    spans = sorted(((after - before, before) for before, after in pairwise(borders) if after > before), reverse=True)
    groups: list[list[tuple[int, int]]] = []
    for length, start in spans:
        if groups and groups[-1][0][0] <= SLACK * length + 4:
            groups[-1].append((length, start))
        else:
            groups.append([(length, start)])
    batches = [_batch(group, borders[-1], device) for group in groups]
    flat = [b.index.reshape(-1) if b.real is None else b.index[b.real] for b in batches]
    return batches, torch.cat(flat).argsort()


def _batch(group: list[tuple[int, int]], row: int, device: torch.device) -> _Batch:
    lengths, starts = (torch.tensor(column, device=device) for column in zip(*group, strict=True))
    place = torch.arange(group[0][0], device=device)
    index = (starts[:, None] + place).clamp(max=row - 1)
    even = group[0][0] == group[-1][0]
    return _Batch(index, None if even else place < lengths[:, None], group[0][0])


def _by_length(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    borders: tuple[int, ...],
    scale: float | None,
    dropout: float,
    window: int | None,
) -> Tensor:
    """(1, T, heads, head_dim); padding behind a sample's end attends, but is never attended to."""
    batches, places = _batches(borders, query.device)
    parts = [_Apart.apply(x[0].transpose(0, 1), batches, places) for x in (query, key, value)]
    done = []
    for batch, *own in zip(batches, *parts, strict=True):
        mask = _window_mask(batch.longest, window, query.device)
        own_q, own_k, own_v = (x.transpose(1, 2) for x in own)  # (n, heads, L, head_dim)
        out = scaled_dot_product_attention(
            own_q,
            own_k,
            own_v,
            attn_mask=mask,
            is_causal=mask is None,
            scale=scale,
            dropout_p=dropout,
            enable_gqa=True,
        )
        done.append(out.transpose(1, 2))
    together: Tensor = _Together.apply(batches, places, *done)
    return together[None]


class _Apart(torch.autograd.Function):
    """(T, heads, head_dim) of a row to (n, L, heads, head_dim) for each batch.

    A position of the row has one place in the batches, so that its gradient is read there; torch's own would add up
    what padding repeats, a number at a time. Padding's gradient is zero: nothing looks at it.
    """

    @staticmethod
    def forward(ctx: Any, row: Tensor, batches: Sequence[_Batch], places: Tensor) -> tuple[Tensor, ...]:
        ctx.batches, ctx.places = batches, places
        return _taken_apart(row, batches)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _put_together(gradients, ctx.batches, ctx.places), None, None


class _Together(torch.autograd.Function):
    """The way back: (n, L, heads, head_dim) of each batch to (T, heads, head_dim), without padding."""

    @staticmethod
    def forward(ctx: Any, batches: Sequence[_Batch], places: Tensor, *parts: Tensor) -> Tensor:
        ctx.batches = batches
        return _put_together(parts, batches, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        parts = _taken_apart(gradient, ctx.batches)
        for part, batch in zip(parts, ctx.batches, strict=True):
            if batch.real is not None:
                part[~batch.real] = 0
        return None, None, *parts


def _taken_apart(row: Tensor, batches: Sequence[_Batch]) -> tuple[Tensor, ...]:
    return tuple(row.index_select(0, batch.index.flatten()).unflatten(0, batch.index.shape) for batch in batches)


def _put_together(parts: Sequence[Tensor], batches: Sequence[_Batch], places: Tensor) -> Tensor:
    flat = [
        part.flatten(0, 1) if batch.real is None else part[batch.real]
        for part, batch in zip(parts, batches, strict=True)
    ]
    return torch.cat(flat).index_select(0, places)


def _window_mask(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """(L, L), true where a token sees another, for layers that see a window only; None where that is everything."""
    if not window or window >= length:
        return None
    back = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
    return (back >= 0) & (back < window)
