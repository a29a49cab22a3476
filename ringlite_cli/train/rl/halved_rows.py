"""Rows in halves where a step ran out of memory: it is done again from its start, and the run goes on."""

import gc
import logging
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

log = logging.getLogger(__name__)


class HalvedRows:
    """Mixed into C3POTrainer: each row takes two passes from the first step on that runs out of memory.

    A step's gradient is the same in any split. The error stands a second time, where the row at hand has one sample,
    and on several ranks, where passes that one rank alone repeats would meet other ranks' communication.
    """

    halved = False
    args: Any
    accelerator: Any
    optimizer: Any
    _updates: list[Any]
    _numbers: Any

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Train one row: a rollout before it where one is due, the numbers of the step behind its last."""
        model.train()  # before a rollout, as in transformers' own training_step
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()
        at = self._prepare_inputs(inputs)  # type: ignore[attr-defined]
        failed = ""
        try:
            loss = self._train_row(model, at, num_items_in_batch)
        except torch.OutOfMemoryError as error:
            if not self._may_halve(at):
                raise
            failed = " ".join(str(error).split())[:200]
        if failed:  # out of the handler, which holds the tensors of the pass that failed
            self._begin_again(model, failed)
            for before in (at | {"row": row} for row in range(at["row"])):
                for part in range(self._parts(before, halved=True)):
                    self._train_pass(model, before, part, num_items_in_batch)
            loss = self._train_row(model, at, num_items_in_batch)
        if at["row"] == self.args.gradient_accumulation_steps - 1:
            self._close_step(self._updates[at["update"]])  # type: ignore[attr-defined]
        return loss

    def _may_halve(self, at: dict[str, int]) -> bool:
        return not self.halved and self.accelerator.num_processes == 1 and self._parts(at, halved=True) > 1

    def _parts(self, at: dict[str, int], *, halved: bool) -> int:
        return len(self._updates[at["update"]].passes(at["row"], halved=halved))

    def _begin_again(self, model: Any, failed: str) -> None:
        """Drop gradients and numbers of the step at hand, and halve rows from now on."""
        self.halved = True
        log.warning(
            "a row did not fit into memory (%s); the step is done again, and from now on each row takes two passes: "
            "lower row_tokens to have more rows from the start",
            failed,
        )
        model.zero_grad()
        self._numbers.forget()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _train_row(self, model: Any, at: dict[str, int], num_items_in_batch: Any) -> Tensor:
        """Train a row and count it as TRL does, with its last pass."""
        last = self._parts(at, halved=self.halved) - 1
        with self.accelerator.no_sync(model) if last else nullcontext():
            losses = [self._train_pass(model, at, part, num_items_in_batch) for part in range(last)]
        losses.append(super().training_step(model, at | {"part": last}, num_items_in_batch))  # type: ignore[misc]
        return torch.stack(losses).sum()

    def _train_pass(self, model: Any, at: dict[str, int], part: int, num_items_in_batch: Any) -> Tensor:
        """Run a pass that TRL does not count as a row of its own."""
        trainer: Any = self
        loss: Tensor = Trainer.training_step(trainer, model, at | {"part": part}, num_items_in_batch)
        return loss
