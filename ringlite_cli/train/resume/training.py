"""From a trainer's last whole checkpoint to its last step: the way of SFT and of reward models."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.overlooked import Overlooked
from ringlite_cli.train.resume.agreed import read_by_one
from ringlite_cli.train.sums import sums_in_order


def train_from_last(trainer: Any, prepare: Callable[[], tuple[Path, int] | None], callbacks: Sequence[Any]) -> None:
    """Train from the last whole checkpoint, or from the start, until the last step or a callback's stop.

    prepare: makes the folder ready and returns that checkpoint with its step; one rank calls it. Raises Diverged.
    """
    from transformers import PrinterCallback

    from ringlite_cli.train.resume.attention_kernels import AttentionKernels
    from ringlite_cli.train.resume.keeper import Keeper
    from ringlite_cli.train.resume.loading import WholeLoad
    from ringlite_cli.train.resume.new_values import NewValues
    from ringlite_cli.train.step_rows import EveryStep

    trainer.remove_callback(PrinterCallback)
    for callback in (EveryStep(trainer), *callbacks, AttentionKernels(), NewValues(), Keeper(trainer)):
        trainer.add_callback(callback)
    last = read_by_one(prepare, trainer.accelerator.state)
    with sums_in_order(trainer.accelerator.device), Overlooked(last[0] if last else None) as loading:
        trainer.add_callback(WholeLoad(loading))
        trainer.train(resume_from_checkpoint=str(last[0]) if last else None)
    trainer.accelerator.wait_for_everyone()


def steps_per_epoch(trainer: Any) -> int:
    """Return the optimizer steps of one pass over a trainer's rows. Raises UserError where it has no batch."""
    batches = len(trainer.get_train_dataloader())
    if not batches:
        raise UserError(
            f"the {len(trainer.train_dataset)} rows of an epoch are no whole batch, and the last one is dropped",
            where="trl.dataloader_drop_last",
            hint="remove it, or lower per_device_train_batch_size",
        )
    return math.ceil(batches / trainer.args.gradient_accumulation_steps)


def total_steps(trainer: Any) -> int:
    """Return the optimizer steps of the whole training: max_steps, else those of its epochs."""
    args = trainer.args
    return int(args.max_steps) if args.max_steps > 0 else math.ceil(args.num_train_epochs * steps_per_epoch(trainer))
