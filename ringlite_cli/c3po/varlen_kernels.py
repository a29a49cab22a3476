"""The attention kernels for packed rows on CUDA, behind one signature: which there are, and which are installed.

`kernel_choice` tries those that are installed and takes the fastest that is right.
"""

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from ringlite_cli.errors import UserError, first_line, near

VARIABLE = "RINGLITE_ATTENTION_KERNEL"
"""The environment variable that names the kernel to use, in place of the fastest."""

Attend = Callable[[Any, Any, Any, Any, int, float | None, int | None], Any]
"""Causal attention inside each sample: (q, k, v, borders, longest, scale, window) -> (T, heads, value dim).

q: (T, heads, head_dim); k, v: (T, kv heads, head_dim), heads a multiple of kv heads, all contiguous; borders: (n + 1,)
int32 row positions on the same device; longest: tokens of the longest sample; scale: of the scores, None for
1/sqrt(head_dim); window: tokens that a token sees, itself among them, None for all before it.
"""


@dataclass(frozen=True)
class Kernel:
    """A kernel by the name that users give it, the function it is, and how that function is called."""

    name: str
    module: str
    function: str
    wrap: Callable[[Any], Attend]

    def installed(self) -> bool:
        """Return whether the module lies on the path; nothing of its package is imported."""
        return _lies_on_path(self.module)

    def load(self) -> Attend:
        """Import the function and return it behind the common signature. Raises whatever its import raises."""
        return self.wrap(getattr(import_module(self.module), self.function))


def _of_flash(no_window: tuple[int | None, int | None]) -> Callable[[Any], Attend]:
    """Wrap a function that is called as flash-attn's. no_window: its window_size for attention without a window."""

    def wrap(call: Any) -> Attend:
        def attend(
            q: Any, k: Any, v: Any, borders: Any, longest: int, scale: float | None, window: int | None = None
        ) -> Any:
            import torch

            out = call(
                q,
                k,
                v,
                cu_seqlens_q=borders,
                cu_seqlens_k=borders,
                max_seqlen_q=longest,
                max_seqlen_k=longest,
                softmax_scale=scale,
                causal=True,
                window_size=(window - 1, 0) if window else no_window,
                deterministic=torch.are_deterministic_algorithms_enabled(),
            )
            return out[0] if isinstance(out, tuple) else out  # some versions return the log-sum-exp too

        return attend

    return wrap


def _of_torch(call: Any) -> Attend:
    """Wrap torch's own; before it had `enable_gqa`, keys and values are repeated for their groups of heads."""
    grouped = "enable_gqa" in inspect.signature(call).parameters

    def attend(
        q: Any, k: Any, v: Any, borders: Any, longest: int, scale: float | None, window: int | None = None
    ) -> Any:
        options: dict[str, Any] = {"scale": scale, "window_size": (window - 1, 0) if window else (-1, 0)}
        if q.shape[1] != k.shape[1]:
            if grouped:
                options["enable_gqa"] = True
            else:
                groups = q.shape[1] // k.shape[1]
                k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        return call(q, k, v, borders, borders, longest, longest, **options)

    return attend


TORCH = Kernel("torch", "torch.nn.attention.varlen", "varlen_attn", _of_torch)
"""Always there, and taken where no other is right and faster."""
KERNELS = (
    TORCH,
    Kernel("flash-attn", "flash_attn.flash_attn_interface", "flash_attn_varlen_func", _of_flash((-1, -1))),
    Kernel("flash-attn-3", "flash_attn_interface", "flash_attn_varlen_func", _of_flash((-1, -1))),
    Kernel("flash-attn-4", "flash_attn.cute", "flash_attn_varlen_func", _of_flash((None, None))),
)
"""All that can be used. flash-attn (2) and flash-attn-4 share the folder `flash_attn`; either may lie there alone."""


def installed() -> list[Kernel]:
    """Return the kernels whose modules lie on the path, torch's first."""
    return [kernel for kernel in KERNELS if kernel is TORCH or kernel.installed()]


def forced() -> Kernel | None:
    """Return the kernel that the environment names; None where it names none. Raises UserError for one not there."""
    name = os.environ.get(VARIABLE, "").strip()
    if not name:
        return None
    known = {kernel.name: kernel for kernel in KERNELS}
    if name not in known:
        raise UserError(
            f"there is no attention kernel {name!r}",
            where=VARIABLE,
            hint=near(name, known, f"known are {', '.join(known)}"),
        )
    if known[name] not in installed():
        here = ", ".join(kernel.name for kernel in installed())
        raise UserError(
            f"the attention kernel {name!r} is not installed",
            where=VARIABLE,
            hint=f"install it, or name one that is ({here}), or none for the fastest",
        )
    return known[name]


@lru_cache(maxsize=16)
def loaded(kernel: Kernel) -> tuple[Attend | None, str]:
    """Return a kernel's function and "", or None and why it cannot be imported."""
    try:
        return kernel.load(), ""
    except Exception as error:  # a package that is built for another torch or CUDA fails in ways of its own
        return None, f"its import fails: {type(error).__name__}: {first_line(error)}"


def _lies_on_path(module: str) -> bool:
    """Return whether a module can be found without importing the packages above it, as find_spec would."""
    if module in sys.modules:
        return True
    places: Any = None
    for depth in range(1, module.count(".") + 2):
        name = ".".join(module.split(".")[:depth])
        spec = next((found for finder in sys.meta_path if (found := finder.find_spec(name, places))), None)
        if spec is None:
            return False
        places = spec.submodule_search_locations
    return True
