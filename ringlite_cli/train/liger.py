"""liger-kernel's fused kernels for one training: which of them run, and that no later stage runs on them unasked."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from ringlite_cli.freeing import import_apart

ROPE, ALL = "LIGER_KERNEL_IMPL_ROPE", "LIGER_KERNEL_IMPL"
"""liger's environment variables that name the implementation of the rotary embedding, and of everything."""


def keep_to_triton() -> None:
    """Have liger compute rotary embeddings by Triton, unless the environment names something else.

    Where nvidia-cutlass-dsl is installed (flash-attn-4 brings it) liger-kernel 0.8.5 takes a CuTe kernel instead, which
    is compiled anew for each length of a row: rows of C3PO have a new length in every step, and a step of 1.5 s took 3.
    """
    if ROPE not in os.environ and ALL not in os.environ and find_spec("cutlass") is not None:
        os.environ[ROPE] = "nvidia-triton"


@contextmanager
def liger_for_one_training() -> Iterator[None]:
    """Let a trainer in this block ask for liger's kernels, and take back behind it what they changed for other models.

    For one model liger replaces functions and classes of that architecture in transformers, for the whole process. The
    models of later stages would run on them too: with other rounding than in a process of their own, and not at all on
    a CPU, where the check of packed rows runs a small copy.
    """
    trainer: Any = import_apart("transformers.trainer")
    apply: Callable[..., Any] = trainer.apply_liger_kernel
    changed: list[_Names] = []

    def apply_and_note(*args: Any, **kwargs: Any) -> Any:
        keep_to_triton()
        changed.append(_Names())
        return apply(*args, **kwargs)

    trainer.apply_liger_kernel = apply_and_note
    try:
        yield
    finally:
        trainer.apply_liger_kernel = apply
        for names in reversed(changed):
            names.put_back()


class _Names:
    """What stands in the modules of transformers' models: their names, and of their classes the names and forwards."""

    def __init__(self) -> None:
        import torch

        models = [module for name, module in sys.modules.items() if name.startswith("transformers.models.") and module]
        self._of = {id(module): (module, dict(vars(module))) for module in (*models, torch.nn.functional)}
        classes = {each for _, names in self._of.values() for each in names.values() if isinstance(each, type)}
        self._classes = [(each, each.__name__, each.__dict__.get("forward")) for each in classes]

    def put_back(self) -> None:
        """Put back every name that now stands for something else."""
        for module, names in self._of.values():
            for name, value in names.items():
                if callable(value) and vars(module).get(name) is not value:
                    setattr(module, name, value)
        for each, name, forward in self._classes:
            if each.__name__ != name:
                each.__name__ = name
            if forward is not None and each.__dict__.get("forward") is not forward:
                each.forward = forward  # type: ignore[attr-defined]
