"""The order of an epoch's rows by the seed and the epoch alone, so that a resumed run reads the rows that come next.

transformers draws the order of rows grouped by length from the process's random numbers. Those of a run that goes on
are not those of the epoch's start, and rows would be trained twice or left out; so they would on ranks that differ.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler


class OrderedByEpoch:
    """For a Trainer whose rows may be grouped by length (`train_sampling_strategy`)."""

    args: Any

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        from transformers.trainer_pt_utils import LengthGroupedSampler

        parent: Any = super()
        sampler = parent._get_train_sampler(train_dataset)
        return _OfEpoch(sampler, self.args.seed) if isinstance(sampler, LengthGroupedSampler) else sampler


class _OfEpoch(Sampler[int]):
    """A sampler with random numbers of its own in each epoch, which accelerate tells."""

    def __init__(self, sampler: Any, seed: int) -> None:
        self._sampler, self._seed, self._epoch = sampler, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[int]:
        self._sampler.generator = torch.Generator().manual_seed(self._seed + self._epoch)
        return iter(self._sampler)
