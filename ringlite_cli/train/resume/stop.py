"""A polite stop of training: on a signal or a time limit the step in hand is finished and saved first."""

import logging
import signal
import time
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ringlite_cli.errors import Interrupted
from ringlite_cli.runs.deadline import seconds_left
from ringlite_cli.runs.stopping import STOPPING

log = logging.getLogger(__name__)


class StopFlag(TrainerCallback):
    """A stopping signal once: finish the optimizer step, save a checkpoint, stop. A second one stops at once.

    Used as a context manager around `trainer.train()`; `raise_if_stopped` then tells the caller. Under --max-hours it
    stops by itself while one more step and a checkpoint would not fit, as long as the longest so far took.
    """

    def __init__(self) -> None:
        self.requested = False
        self._stopped_at: int | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._step_began: float | None = None
        self._save_began = 0.0
        self.longest_step = self.longest_save = 0.0

    def __enter__(self) -> "StopFlag":
        for number in STOPPING:
            try:
                self._previous[number] = signal.signal(number, self._request)
            except ValueError:  # not the main thread: signals are not ours to handle
                break
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()
        log.warning("stopping after this step: in %s at most; the signal again stops at once", self._within())

    def _within(self) -> str:
        return f"{self.longest_step + self.longest_save:.0f} s" if self.longest_step else "a step and a save"

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._step_began = self._step_began or time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        now = time.monotonic()
        if self._step_began is not None:
            self.longest_step = max(self.longest_step, now - self._step_began)
        self._step_began = self._save_began = now
        if self.asked_anywhere(args):
            self._stopped_at = state.global_step
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_save(self, *_: Any, **__: Any) -> None:
        self._step_began = time.monotonic()
        self.longest_save = max(self.longest_save, self._step_began - self._save_began)

    def asked_anywhere(self, args: TrainingArguments) -> bool:
        """Return whether any rank was asked to stop: a signal may reach one alone, or each in another step."""
        left = seconds_left()
        if left is not None and left < 1.2 * self.longest_step + 2 * self.longest_save:
            self.requested = True
        if args.world_size == 1:
            return self.requested
        flag = torch.tensor(float(self.requested), device=args.device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag.item())

    @property
    def stopped(self) -> bool:
        return self._stopped_at is not None

    def raise_if_stopped(self, max_steps: int) -> None:
        """Raise Interrupted if a signal or the time limit ended the training before its last step."""
        if self._stopped_at is not None and self._stopped_at < max_steps:
            raise Interrupted(
                f"stopped after step {self._stopped_at} of {max_steps}; the same command goes on from there"
            )
