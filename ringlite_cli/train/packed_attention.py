"""Attention over a packed row without a T x T mask, for devices that have no varlen kernel.

A row of T tokens holds n samples of at most L tokens. The samples are gathered into a padded (n, L) batch, attend
causally each within itself, and are scattered back: memory and time grow with n L^2 instead of T^2.
"""

from typing import Any

NAME = "ringlite_packed"


def register() -> str:
    """Registers the attention with transformers (once is enough) and returns its name, for attn_implementation."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, packed_attention)
    return NAME


def packed_attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: Any = None,
    **_: Any,
) -> tuple[Any, None]:
    """Causal attention inside each sample of one packed row.

    query: (1, heads, T, head_dim); key, value: (1, kv heads, T, head_dim); cu_seq_lens_q: (n + 1,) sample borders,
    as TRL's padding-free collator hands them to the model. Without borders the row is one sample. Returns
    (1, T, heads, head_dim). Padding on the left is not supported: there is no mask to say where it is.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    rate = dropout if module.training else 0.0
    if cu_seq_lens_q is None:
        out = scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, dropout_p=rate, enable_gqa=True
        )
        return out.transpose(1, 2).contiguous(), None
    borders = cu_seq_lens_q.long()
    lengths = borders.diff()  # (n,)
    place = torch.arange(int(lengths.max()), device=query.device)  # (L,)
    real = place < lengths[:, None]  # (n, L)
    index = (borders[:-1, None] + place).clamp(max=query.shape[2] - 1)  # (n, L)

    def samples(x: Any) -> Any:  # (1, h, T, d) -> (n, h, L, d)
        return x[0].transpose(0, 1)[index].transpose(1, 2)

    out = scaled_dot_product_attention(
        samples(query), samples(key), samples(value), is_causal=True, scale=scaling, dropout_p=rate, enable_gqa=True
    )
    return out.transpose(1, 2)[real][None], None  # padding behind a sample's end attends, but is never attended to
