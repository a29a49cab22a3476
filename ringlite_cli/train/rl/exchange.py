"""The exchange of samples among ranks: all learn how long each is, and its tokens go to the one rank that trains it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed import all_to_all_single

from ringlite_cli.c3po.packing import PackedSample

_BESIDE = {"trained": torch.bool, "sampled": torch.float32, "ages": torch.int32}
"""What a sample may have for each token of its response, in the order in which it is sent."""


class Head(NamedTuple):
    """The facts of a sample that all ranks learn, as integers.

    number: the sample's index. has: a bit for each column of `_BESIDE` that it has. advantage, weight: the bits of a
    float64.
    """

    number: int
    owner: int
    prompt: int
    response: int
    has: int
    domain: int
    advantage: int
    weight: int

    @property
    def columns(self) -> list[str]:
        """Return the names of its columns beside the response."""
        return [name for bit, name in enumerate(_BESIDE) if self.has >> bit & 1]

    @property
    def words(self) -> int:
        """Return how many numbers of 32 bits it is sent as."""
        return self.prompt + self.response * (1 + len(self.columns))


class Exchange:
    """The samples of an update on all ranks. Every rank makes one, and calls `swap`.

    sizes: tokens of every sample, in the order of the samples' indices; a sample's place here is its name in `swap`.
    """

    def __init__(self, accelerator: Accelerator, samples: Sequence[PackedSample]) -> None:
        """samples: this rank's."""
        self._accelerator = accelerator
        self._own = {sample.index: sample for sample in samples}
        self._heads = sorted(self._gathered([_head(accelerator.process_index, sample) for sample in samples]))
        self.sizes = [head.prompt + head.response for head in self._heads]

    def swap(self, rows: Sequence[Sequence[Sequence[int]]]) -> Mapping[int, PackedSample]:
        """Send each sample to the rank that trains it; return this rank's. rows: of each rank, the places in each."""
        rank, heads = self._accelerator.process_index, self._heads
        wanted = [sorted(place for row in of_rank for place in row) for of_rank in rows]
        sent = [[heads[place] for place in places if heads[place].owner == rank] for places in wanted]
        came = [[place for place in wanted[rank] if heads[place].owner == owner] for owner in range(len(rows))]
        words = [part for each in sent for head in each for part in _words(self._own[head.number])]
        received = self._all_to_all(
            torch.cat([torch.zeros(0, dtype=torch.int32), *words]),
            [sum(head.words for head in each) for each in sent],
            [sum(heads[place].words for place in each) for each in came],
        )
        places = [place for each in came for place in each]
        parts = received.split([heads[place].words for place in places])
        return {place: _sample(heads[place], part) for place, part in zip(places, parts, strict=True)}

    def _gathered(self, heads: Sequence[Head]) -> list[Head]:
        """Return the heads of all ranks, which may have different numbers of them."""
        device = self._accelerator.device
        counts = self._accelerator.gather(torch.tensor([len(heads)], device=device)).tolist()
        local = torch.zeros(max(counts), len(Head._fields), dtype=torch.long)
        local[: len(heads)] = torch.tensor(heads, dtype=torch.long).view(-1, len(Head._fields))
        of_ranks = self._accelerator.gather(local.to(device)).cpu().split(max(counts))
        return [Head(*row) for count, table in zip(counts, of_ranks, strict=True) for row in table[:count].tolist()]

    def _all_to_all(self, words: Tensor, sent: list[int], received: list[int]) -> Tensor:
        """Send a stretch of words to each rank and return what all of them sent, rank by rank, on the host."""
        device = self._accelerator.device
        found = torch.empty(sum(received), dtype=torch.int32, device=device)
        all_to_all_single(found, words.to(device), received, sent)
        return found.cpu()


def _head(owner: int, sample: PackedSample) -> Head:
    advantage, weight = torch.tensor([sample.advantage, sample.weight], dtype=torch.float64).view(torch.long).tolist()
    has = sum(1 << bit for bit, name in enumerate(_BESIDE) if getattr(sample, name) is not None)
    sizes = len(sample.prompt), len(sample.response)
    return Head(sample.index, owner, *sizes, has, sample.domain, advantage, weight)


def _words(sample: PackedSample) -> Iterator[Tensor]:
    """Yield what a sample has of its tokens, each column as integers of 32 bits."""
    yield torch.as_tensor(sample.prompt, dtype=torch.int32)
    yield torch.as_tensor(sample.response, dtype=torch.int32)
    for name, dtype in _BESIDE.items():
        if (values := getattr(sample, name)) is not None:
            column = torch.as_tensor(values, dtype=dtype)
            yield column.int() if dtype == torch.bool else column.view(torch.int32)


def _sample(head: Head, words: Tensor) -> PackedSample:
    """Return the sample that was sent as these words."""
    prompt, response, *beside = words.split([head.prompt, head.response, *[head.response] * len(head.columns)])
    columns = {
        name: column.bool() if _BESIDE[name] == torch.bool else column.view(_BESIDE[name])
        for name, column in zip(head.columns, beside, strict=True)
    }
    advantage, weight = torch.tensor([head.advantage, head.weight]).view(torch.float64).tolist()
    return PackedSample(head.number, prompt, response, advantage, weight=weight, domain=head.domain, **columns)
