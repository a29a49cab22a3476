"""What ranks agree on in mode carry: each has a pool of its own, and all take equally many groups for a step.

TRL scores batches of one size on all ranks. Every rank has to ask for the same things in the same order.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

Sizes = Sequence[tuple[int, int]]
"""Of a rank's complete groups in the order of their launch: tokens that may be trained, and all tokens."""


class Ranks:
    """The pools of a run's ranks. shares: whether the budget is that of all ranks together, and not of each."""

    def __init__(self, accelerator: Accelerator, *, shares: bool) -> None:
        self._accelerator, self.shares = accelerator, shares
        self.number, self.count = accelerator.process_index, accelerator.num_processes

    def part(self, whole: int) -> int:
        """Return the part of a budget that each rank writes: an equal one of a shared budget, else all of it."""
        return ceil(whole / self.count) if self.shares else whole

    def lacking(self, budget: int, taken: int) -> int:
        """Return the tokens that a budget still lacks, of which this rank has taken so many; the most of any rank's."""
        if self.count == 1:
            return max(0, budget - taken)
        of_ranks = self._accelerator.gather(torch.tensor([taken], device=self._accelerator.device)).tolist()
        return max(0, budget - (sum(of_ranks) if self.shares else min(of_ranks)))

    def groups(self, needed: int, sizes: Sizes, wanted: int, most: int) -> tuple[int, bool]:
        """Return how many groups each rank takes, and whether all ranks have so many complete ones.

        needed: groups that hold this rank's part. wanted, most: tokens of the budget that must be trainable, or be
        there at all. Where a rank has fewer, the number is the one that is surely enough.
        """
        if self.count == 1:
            return needed, True
        found: list[tuple[int, Sizes]] = gather_object([(needed, list(sizes))])
        for number in range(1, min(len(each) for _, each in found) + 1):
            if self._is_enough([_total(each[:number]) for _, each in found], wanted, most):
                return number, True
        return max(each for each, _ in found), False

    def _is_enough(self, totals: Sizes, wanted: int, most: int) -> bool:
        totals = [_total(totals)] if self.shares else totals
        return all(trained >= wanted or written >= most for trained, written in totals)

    def listed(self, items: Iterable[Any]) -> list[Any]:
        """Return the items of all ranks, rank by rank."""
        return list(items) if self.count == 1 else list(gather_object(list(items)))

    def summed(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        """Return numbers, and mappings of names to numbers, added up over the ranks."""
        total: dict[str, Any] = {}
        for each in self.listed([dict(counts)]):
            for name, value in each.items():
                if isinstance(value, Mapping):
                    before = total.setdefault(name, {})
                    total[name] = {key: before.get(key, 0) + value.get(key, 0) for key in sorted({*before, *value})}
                else:
                    total[name] = total.get(name, 0) + value
        return total


def _total(sizes: Sizes) -> tuple[int, int]:
    return sum(trained for trained, _ in sizes), sum(written for _, written in sizes)
