"""Ends a resume at its first step where a part of the checkpoint could not be read and was passed over."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ringlite_cli.overlooked import Overlooked


class WholeLoad(TrainerCallback):
    """Raise what was noted while the Trainer took up weights, optimizer, schedule and random numbers."""

    def __init__(self, overlooked: Overlooked) -> None:
        self._overlooked = overlooked

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._overlooked.check()
