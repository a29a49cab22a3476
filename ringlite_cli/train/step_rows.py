"""A row of metrics for each optimizer step of a training stage."""

import math
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ringlite_cli.errors import Diverged
from ringlite_cli.runs.row_types import MetricsRow


class StepRows(TrainerCallback):
    """Hands a row to `write` for each optimizer step that TRL logs (logging_steps=1: for each step), on the main rank.

    `make_row(step, logs)` turns TRL's log into the row. A loss that is not finite stops the run before it is saved.
    `begun` is called once everything is loaded, a checkpoint too, and the first step begins.
    """

    def __init__(
        self,
        make_row: Callable[[int, MetricsRow], MetricsRow],
        write: Callable[[MetricsRow], None],
        begun: Callable[[], None] | None = None,
    ) -> None:
        self._make_row = make_row
        self._write = write
        self._begun = begun

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._begun is not None:
            self._begun()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: MetricsRow | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        if state.is_world_process_zero:
            self._write(self._make_row(state.global_step, logs))
        if not math.isfinite(logs["loss"]):
            raise Diverged(
                f"the loss is {logs['loss']} at step {state.global_step}",
                state.global_step,
                hint="the last checkpoint is sound; lower the learning rate or look at that step's rollouts",
            )
