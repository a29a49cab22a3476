"""Every row once an epoch on several ranks: rows by which accelerate fills the last batches are passed without loss."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ringlite_cli.train.filled_batches import FilledBatches

_LENGTHS = "ringlite_row_lengths"
"""Tokens of each row of a batch that TRL's collator lays end to end."""


class EachRowOnce(FilledBatches):
    """For a Trainer whose batches hold labels. Call `tell_lengths` before training."""

    data_collator: Any
    _total_train_tokens: int
    """TRL's count of the tokens of all batches, over all ranks."""

    def tell_lengths(self) -> None:
        """Let batches tell where their rows end, where the last one of an epoch may hold repeated rows."""
        if self.repeats_rows():
            self.data_collator = _WithLengths(self.data_collator)

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """Return the batches of a step and their tokens with loss, those of repeated rows left out."""
        parent: Any = super()
        batches, tokens = parent.get_batch_samples(epoch_iterator, num_batches, device)
        lengths = [batch.pop(_LENGTHS, None) for batch in batches]
        own = self.own_rows_of_last() if batches else None
        if own is not None:
            leave_out(batches[-1]["labels"], own, lengths[-1])
            self._total_train_tokens -= int(self.accelerator.reduce(lengths[-1][own:].sum(), reduction="sum"))
            trainer: Any = self
            tokens = trainer._get_num_items_in_batch(batches, device)
        return batches, tokens


class _WithLengths:
    """A collator that adds the length of each row."""

    def __init__(self, collator: Any) -> None:
        self._collator = collator

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {**self._collator(rows), _LENGTHS: torch.tensor([len(row["input_ids"]) for row in rows])}


def leave_out(labels: Tensor, rows: int, lengths: Tensor) -> None:
    """Take the loss off all rows of a batch but the first `rows`.

    labels: (rows, T), or (1, T) of rows that lie end to end. lengths: of each row.
    """
    if labels.shape[0] > 1:
        labels[rows:] = -100
    else:
        labels[:, int(lengths[:rows].sum()) :] = -100
