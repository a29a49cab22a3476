"""Sums of gradients in a fixed order on a CPU, so that a training run can be repeated to the bit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def sums_in_order(device: torch.device) -> Iterator[None]:
    """Let torch add up the gradients of gathered rows in a fixed order in this block, if a CPU trains.

    By default its threads add as they come. A token that three experts or more work on then gets another gradient each
    time, by rounding; and on two threads it takes four times as long. On a GPU torch's kernels are left as they are.
    """
    if device.type != "cpu" or torch.are_deterministic_algorithms_enabled():
        yield
        return
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # it finds faults in programs, and costs time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        memory.fill_uninitialized_memory = filled
