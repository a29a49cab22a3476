"""A row of metrics for each optimizer step of a training stage."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ringlite_cli.errors import Diverged
from ringlite_cli.runs.row_types import MetricsRow


def mean_over(metrics: dict[str, list[float]], names: Sequence[str], sizes: Sequence[int]) -> None:
    """Put one mean over all items of a step in the place of the means over its batches, which TRL would take alike.

    metrics: TRL's, of the step at hand. sizes: items of each batch, such as tokens.
    """
    for name in names:
        means, total = metrics.get(name, []), sum(sizes)
        if total and len(sizes) > 1 and len(means) == len(sizes):
            metrics[name] = [sum(mean * size for mean, size in zip(means, sizes, strict=True)) / total]


class EveryStep(TrainerCallback):
    """Has TRL log every optimizer step, for the rows and the guard; trackers hear of the steps that `args` names.

    Make it before other callbacks are added. With logging_strategy "epoch" trackers hear of every step too.
    """

    def __init__(self, trainer: Any) -> None:
        self._asked = True  # whether the step is one that logging_strategy and logging_steps name
        for callback in trainer.callback_handler.callbacks:
            if type(callback).__module__.startswith("transformers.integrations"):
                callback.on_log = self._as_asked(callback.on_log)

    def _as_asked(self, on_log: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, logs: MetricsRow | None = None, **more: Any) -> Any:
            of_step = bool(logs) and "loss" in (logs or {})
            return on_log(*args, logs=logs, **more) if self._asked or not of_step else None

        return asked

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._asked = control.should_log or args.logging_strategy == "epoch"
        control.should_log = True


class StepRows(TrainerCallback):
    """Hands a row to `write` for each optimizer step that TRL logs, on the main rank.

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
