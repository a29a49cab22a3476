"""A mixture's experts in the number format of autocast, and of sizes that grouped matrix products do not take.

transformers multiplies all tokens with all experts' weights in one grouped product. Autocast does not know that
product: float32 weights would be multiplied in float32, where the rest of the model computes in bfloat16. Such a
trainer follows updates that an engine in bfloat16 rounds away, so that the two come apart (by 0.3 nats a token in two
layers of Ling-lite after one AdamW step of 1e-6, where bfloat16 on both sides left 0.03), and takes twice the memory.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ALIGNED = 16
"""Bytes that rows of a grouped product's matrices are to be a multiple of."""


def settle_experts() -> None:
    """Have transformers' grouped products follow autocast, and its plain loop compute what they do not take."""
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    plain = ALL_EXPERTS_FUNCTIONS["grouped_mm"]
    if not isinstance(plain, _Grouped):
        ALL_EXPERTS_FUNCTIONS["grouped_mm"] = _Grouped(plain)


class _Grouped:
    def __init__(self, plain: Callable[..., Tensor]) -> None:
        self._plain = plain

    def __call__(self, experts: nn.Module, hidden: Tensor, *chosen: Tensor) -> Tensor:
        """hidden: (M, H). chosen: indices and weights of each token's experts, (M, k) both. Returns (M, H)."""
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        loop = getattr(type(experts).forward, "__wrapped__", None)
        if loop is not None and not _is_aligned(experts, dtype):
            found: Tensor = loop(experts, hidden, *chosen)
            return found
        return self._plain(experts if dtype is None else _Cast(experts, dtype), hidden, *chosen)


def _is_aligned(experts: nn.Module, dtype: torch.dtype | None) -> bool:
    stacks = [stack for stack in experts.parameters(recurse=False) if stack.dim() == 3]
    return all(size * (dtype or stack.dtype).itemsize % ALIGNED == 0 for stack in stacks for size in stack.shape[1:])


class _Cast:
    """Experts whose float32 weights are read in another number format."""

    def __init__(self, experts: nn.Module, dtype: torch.dtype) -> None:
        self._experts, self._dtype = experts, dtype

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._experts, name)
        return value.to(self._dtype) if isinstance(value, Tensor) and value.dtype == torch.float32 else value
