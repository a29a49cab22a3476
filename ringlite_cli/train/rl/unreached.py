"""A word about adapters that no gradient reaches, as the model reads the layer's weight itself or not its output."""

import logging
import re
from collections import defaultdict
from typing import Any

from transformers import TrainerCallback

log = logging.getLogger(__name__)


class Unreached(TrainerCallback):
    """Warns, at the first optimizer step, of adapters that stay as they are in every layer.

    One that a step happens not to use, as an expert's, is of a kind that others of its name are used of.
    """

    _told = False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if self._told or model is None:
            return
        self._told = True
        kinds: defaultdict[str, list[Any]] = defaultdict(list)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and ".lora_" in name:
                kinds[re.sub(r"\.\d+(?=\.)", ".*", name.split(".lora_")[0])].append(parameter)
        idle = {kind: found for kind, found in kinds.items() if all(each.grad is None for each in found)}
        if idle and state.is_world_process_zero:
            names = sorted({kind.rsplit(".", 1)[-1] for kind in idle})
            log.warning(
                "lora: no gradient reaches the adapters of %s: %s of the %s trained parameters stay as they are; "
                "name the other layers in target_modules to leave them out",
                *(", ".join(names), f"{_count(idle):,}", f"{_count(kinds):,}"),
            )


def _count(kinds: dict[str, list[Any]]) -> int:
    return sum(each.numel() for found in kinds.values() for each in found)
