"""Every row once an epoch on several ranks.

accelerate fills the last batches of an epoch with rows from its start, so that all ranks make equally many passes. Of
few long rows on many ranks that may be most of a batch, trained twice. Here such rows are passed without loss.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

_LENGTHS = "ringlite_row_lengths"
"""Tokens of each row of a batch that TRL's collator lays end to end."""


class EachRowOnce:
    """For a Trainer whose batches hold labels. Call `tell_lengths` before training."""

    accelerator: Any
    args: Any
    train_dataset: Any
    data_collator: Any
    _train_batch_size: int

    def tell_lengths(self) -> None:
        """Let batches tell where their rows end, where the last one of an epoch holds rows of both kinds."""
        if self._repeats() and len(self.train_dataset) % self._train_batch_size:
            self.data_collator = _WithLengths(self.data_collator)

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """Return the batches of a step and their tokens with loss, those of repeated rows left out."""
        parent: Any = super()
        batches, tokens = parent.get_batch_samples(epoch_iterator, num_batches, device)
        lengths = [batch.pop(_LENGTHS, None) for batch in batches]
        state = self.accelerator.gradient_state
        if batches and self._repeats() and state.end_of_dataloader:
            last = len(self.train_dataset) % self._of_all_ranks()
            state.active_dataloader.remainder = last  # by which metrics are cut; after a resume it is not known
            own = max(0, last - self.accelerator.process_index * self._train_batch_size)
            leave_out(batches[-1]["labels"], own, lengths[-1])
            trainer: Any = self
            tokens = trainer._get_num_items_in_batch(batches, device)
        return batches, tokens

    def _of_all_ranks(self) -> int:
        return int(self._train_batch_size * self.accelerator.num_processes)

    def _repeats(self) -> bool:
        """Whether an epoch's last batches are filled."""
        ranks, dropped = self.accelerator.num_processes, self.args.dataloader_drop_last
        return ranks > 1 and not dropped and len(self.train_dataset) % self._of_all_ranks() > 0


class _WithLengths:
    """A collator that adds the length of each row."""

    def __init__(self, collator: Any) -> None:
        self._collator = collator

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {**self._collator(rows), _LENGTHS: torch.tensor([len(row["input_ids"]) for row in rows])}


def leave_out(labels: Tensor, rows: int, lengths: Tensor | None) -> None:
    """Take the loss off all rows of a batch but the first `rows`.

    labels: (rows, T), or (1, T) of rows that lie end to end, whose lengths are then needed where some of them count.
    """
    if lengths is None or labels.shape[0] > 1:
        labels[rows:] = -100
    else:
        labels[:, int(lengths[:rows].sum()) :] = -100
