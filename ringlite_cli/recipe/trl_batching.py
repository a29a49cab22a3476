"""What TRL's fields may not say of how rows are dealt to batches and ranks: ringlite counts rows by its own rules.

Every row carries loss once an epoch, whatever the number of ranks, and a training that resumes reads the rows that one
without a stop would have read.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ACCELERATOR = "accelerator_config"
ACCELERATOR_RULES: Mapping[str, tuple[bool, str]] = {
    "split_batches": (False, "a batch is of one rank, and each row of an epoch carries loss once"),
    "dispatch_batches": (False, "each rank reads its own rows"),
    "even_batches": (True, "all ranks make equally many passes; rows that fill the last batch carry no loss again"),
    "use_seedable_sampler": (True, "rows come in an order that the seed gives, also after a resume"),
}
"""Field of `accelerator_config` -> the only value that it may have, and why."""
REBALANCE = "batch_rebalance"
"""The value of `train_sampling_strategy` that deals rows to ranks by itself."""


def batching_fault(field: str, value: Any) -> str:
    """Return why a field may not have this value, for it changes which rows are trained; "" where it may."""
    if field == _ACCELERATOR:
        return _accelerator_fault(value)
    if field == "train_sampling_strategy" and value == REBALANCE:
        return f"{field!r} can't be {REBALANCE!r}: it fills the end of an epoch with rows that are trained twice"
    return ""


def _accelerator_fault(value: Any) -> str:
    """value: the fields by name, the path of a JSON file of them, transformers' AcceleratorConfig, or None."""
    given = _in_file(value) if isinstance(value, str) else value
    fields: Mapping[str, Any] = given if isinstance(given, Mapping) else getattr(given, "__dict__", {})
    faults = [
        f"'{_ACCELERATOR}.{name}' must be {wanted!r}, not {fields[name]!r}: {why}"
        for name, (wanted, why) in ACCELERATOR_RULES.items()
        if name in fields and bool(fields[name]) != wanted
    ]
    accumulation = fields.get("gradient_accumulation_kwargs")
    if isinstance(accumulation, Mapping) and accumulation.get("num_steps", 1) != 1:
        name = f"{_ACCELERATOR}.gradient_accumulation_kwargs.num_steps"
        faults.append(f"{name!r} must be 1, not {accumulation['num_steps']!r}: gradient_accumulation_steps says it")
    return "; ".join(faults)


def _in_file(path: str) -> Any:
    """Return what a JSON file holds; None where it cannot be read, which TRL tells."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
