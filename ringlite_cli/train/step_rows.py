"""A row of metrics for each optimizer step of a training stage."""

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ringlite_cli.errors import Diverged
from ringlite_cli.runs.row_types import MetricsRow


class StepRows(TrainerCallback):
    """Hands a row to `write` for each optimizer step that TRL logs (logging_steps=1: for each step), on the main rank.

    `make_row(step, logs, seconds)` turns TRL's log into the row; seconds: since the last row, or since everything was
    loaded, a checkpoint too. A loss that is not finite stops the run before it is saved.
    """

    def __init__(
        self, make_row: Callable[[int, MetricsRow, float], MetricsRow], write: Callable[[MetricsRow], None]
    ) -> None:
        self._make_row = make_row
        self._write = write
        self._last = time.perf_counter()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._last = time.perf_counter()

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
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        if state.is_world_process_zero:
            self._write(self._make_row(state.global_step, logs, seconds))
        if not math.isfinite(logs["loss"]):
            raise Diverged(
                f"the loss is {logs['loss']} at step {state.global_step}",
                state.global_step,
                hint="the last checkpoint is sound; lower the learning rate or look at that step's rollouts",
            )
