"""The rows of metrics.jsonl that training a reward model writes, and what a checkpoint keeps of its counts."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ringlite_cli.errors import WorkFailed
from ringlite_cli.presence import is_there
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.train.resume.training import steps_per_epoch

OnStep = Callable[[dict[str, Any]], None]
_STATE = "ringlite_tokens.json"
_FROM_TRL = ("accuracy", "margin", "mean_reward", "min_reward", "max_reward")


class PairRecorder(TrainerCallback):
    """Hands a row to `on_step` after each logged step, on the main rank."""

    def __init__(self, trainer: Any, on_step: OnStep | None) -> None:
        self._trainer, self._on_step = trainer, on_step
        self._began, self._seconds = 0.0, 0.0
        self._of_epoch = steps_per_epoch(trainer)

    @property
    def tokens(self) -> int:
        """The tokens of all texts so far, those of prompts included, over all ranks."""
        return int(self._trainer._total_train_tokens)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved = Path(args.output_dir) / f"checkpoint-{state.global_step}" / _STATE
        kept = read_json(saved) if state.global_step and is_there(saved) else {}
        self._trainer._total_train_tokens = kept.get("tokens", 0)  # TRL counts it, but does not keep it

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._seconds = time.perf_counter() - self._began

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            what = f"the loss became {logs['loss']} at step {state.global_step}"
            raise WorkFailed(what, where="reward-model", hint="lower learning_rate")
        row = {
            "step": state.global_step,
            "epoch": round(float(state.epoch or 0), 4),
            "loss": logs["loss"],
            "lr": logs.get("learning_rate"),
            "grad_norm": logs.get("grad_norm"),
            **{name: logs.get(name) for name in _FROM_TRL},
            "tokens_trained": self.tokens,
            "step_seconds": self._seconds,
        }
        if self._on_step and state.is_world_process_zero:
            self._on_step(row)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_json(folder / _STATE, {"tokens": self.tokens, "steps_per_epoch": self._of_epoch})
