"""Hangs on TRL's loop and keeps its checkpoints: a seal goes on, old ones go."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ringlite_cli.errors import WorkFailed
from ringlite_cli.train.resume.checkpoints import KEPT, drop_old, seal


class Keeper(TrainerCallback):
    """Seal each checkpoint, and keep the newest ones.

    protected() gives the steps of checkpoints that stay whatever their age. The number kept is TRL's save_total_limit,
    else KEPT. Added last, so that what other callbacks write into a checkpoint is under the seal.
    """

    def __init__(self, trainer: Any, *, protected: Callable[[], Collection[int]] = tuple) -> None:
        self._trainer, self._protected = trainer, protected
        self._keep = trainer.args.save_total_limit or KEPT
        trainer.args.save_total_limit = None  # the Trainer would go by the files' times
        self._began_at = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began_at = state.global_step

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder = checkpoint_folder(args, state)
        self._trainer.accelerator.wait_for_everyone()
        if state.is_world_process_zero:
            seal(folder, self._trainer.accelerator.num_processes)
            drop_old(Path(args.output_dir), self._keep, self._protected())

    def raise_if_idle(self, state: TrainerState, max_steps: int) -> None:
        """Raise WorkFailed if the training ended before its last step though nobody stopped it.

        A run that goes on and finds no data left, or that finds itself past its end, would otherwise look finished.
        """
        if state.global_step < max_steps:
            done = state.global_step - self._began_at
            raise WorkFailed(
                f"the training ended after step {state.global_step} of {max_steps}, {done} of them in this run",
                hint="the data gave no further batch; rerun the stage with --fresh, and report it",
            )


def checkpoint_folder(args: TrainingArguments, state: TrainerState) -> Path:
    """Return where the Trainer writes the checkpoint of the step that it is at."""
    return Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
