"""The ranges of TRL's fields that TRL itself does not check, or checks only once a stage has begun."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ringlite_cli.recipe.section import LARGEST


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the greatest value that makes sense. open_low: the least one itself does not."""

    low: float
    high: float | None = None
    open_low: bool = False

    def fault(self, value: Any) -> str:
        """Return what a value must be, in words; "" where it is."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ""
        if (value <= self.low if self.open_low else value < self.low) or value != value:
            return f"it must be {'greater than' if self.open_low else 'at least'} {self.low:g}"
        return f"it must be at most {self.high:g}" if self.high is not None and value > self.high else ""


_NOT_NEGATIVE, _ABOVE_0, _ONE = Range(0), Range(0, open_low=True), Range(1)
_COMMON: Mapping[str, Range] = {
    "learning_rate": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "adam_beta1": Range(0, 1),
    "adam_beta2": Range(0, 1),
    "adam_epsilon": _ABOVE_0,
    "max_grad_norm": _NOT_NEGATIVE,
    "warmup_steps": _NOT_NEGATIVE,
    "warmup_ratio": Range(0, 1),
    "num_train_epochs": _ABOVE_0,
    "per_device_train_batch_size": _ONE,
    "gradient_accumulation_steps": _ONE,
    "save_steps": _ABOVE_0,
    "logging_steps": _ABOVE_0,
    "save_total_limit": _ONE,
    "dataloader_num_workers": _NOT_NEGATIVE,
    "max_length": _ONE,
}
TRL_RANGES: Mapping[str, Mapping[str, Range]] = {
    "SFTConfig": _COMMON,
    "RewardConfig": {**_COMMON, "center_rewards_coefficient": _NOT_NEGATIVE},
    "GRPOConfig": {
        **_COMMON,
        "max_steps": _ONE,
        "max_completion_length": _ONE,
        "num_generations": _ONE,
        "temperature": _ABOVE_0,
        "top_p": Range(0, 1, open_low=True),
        "min_p": Range(0, 1),
        "repetition_penalty": _ABOVE_0,
        "beta": _NOT_NEGATIVE,
        "epsilon": _NOT_NEGATIVE,
        "epsilon_high": _NOT_NEGATIVE,
        "vllm_gpu_memory_utilization": Range(0, 1, open_low=True),
        "vllm_max_model_length": _ONE,
        "vllm_tensor_parallel_size": _ONE,
    },
}
"""TRL config class -> field -> its range."""


def range_fault(config: str, field: str, value: Any) -> str:
    """Return `field = value: what it must be`, or "" where the value is in its range."""
    found = TRL_RANGES[config].get(field)
    fault = found.fault(value) if found else ""
    never_cut = field == "max_grad_norm" and value == math.inf
    if isinstance(value, float) and not math.isfinite(value) and not never_cut:
        fault = fault or "it must be a finite number"
    if isinstance(value, int) and abs(value) > LARGEST:
        fault = fault or f"it must be at most {LARGEST}"
    return f"{field} = {value!r}: {fault}" if fault else ""
