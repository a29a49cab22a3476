"""Samples that change hands among gloo ranks. Run as a rank, this file is the rank's program (SEED)."""

import os
import random
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytest
import torch
from launches import Launch

from ringlite_cli.c3po.packing import PackedSample, balance_rows, pack_row

ROWS = 2


def samples_of(rng: random.Random, rank: int, count: int) -> list[PackedSample]:
    """Samples of one rank, numbered apart from those of others; some have what others lack."""
    found = []
    for i in range(count):
        size = rng.randrange(9)
        more: dict[str, Any] = {
            "trained": [rng.random() < 0.7 for _ in range(size)] if rng.random() < 0.5 else None,
            "sampled": [rng.choice([-0.1, -1e-8, float("nan")]) for _ in range(size)] if rng.random() < 0.7 else None,
            "ages": [rng.randrange(3) for _ in range(size)] if rng.random() < 0.5 else None,
        }
        more = {name: torch.tensor(values) if values else values for name, values in more.items()}
        prompt, response = ([rng.randrange(150_000) for _ in range(n)] for n in (rng.randrange(1, 5), size))
        weight, advantage = rng.random(), rng.gauss(0, 1)
        index = 3 * i + (rank + i) % 3
        found.append(PackedSample(index, prompt, response, advantage, weight=weight, domain=rng.randrange(3), **more))
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, column in one.items():
        if isinstance(column, torch.Tensor):
            assert column.dtype == other[name].dtype
            assert torch.equal(torch.nan_to_num(column, nan=7.0), torch.nan_to_num(other[name], nan=7.0)), name


def rank_main(seed: int) -> None:
    """Swap samples and compare this rank's rows with those made of all samples at once."""
    from accelerate import Accelerator
    from accelerate.utils import gather_object

    from ringlite_cli.train.rl.exchange import Exchange
    from ringlite_cli.train.rl.record import gathered_on_main

    accelerator = Accelerator(cpu=True)
    rank, world = accelerator.process_index, accelerator.num_processes
    rng = random.Random(seed * 10 + rank)
    for count in (7, 0 if rank == 1 else 3, 2 * rank):
        samples = samples_of(rng, rank, count)
        everyone = sorted(gather_object(samples), key=lambda sample: sample.index)
        members = balance_rows([sample.size for sample in everyone], ROWS * world)
        exchange = Exchange(accelerator, samples)
        assert exchange.sizes == [sample.size for sample in everyone]
        held = exchange.swap([members[r::world] for r in range(world)])
        mine = members[rank::world]
        assert sorted(held) == sorted(place for row in mine for place in row), "a rank holds what it trains alone"
        for row in mine:
            same(pack_row([held[i] for i in row]), pack_row([everyone[i] for i in row]))
        names = [f"{rank}-{i}" for i in range(count)]
        texts, all_names = gathered_on_main(accelerator, names), gather_object(names)
        assert texts == (all_names if rank == 0 else [])


@pytest.mark.slow
def test_swapped_samples_make_the_rows_that_all_samples_make() -> None:
    ranks = Launch(3, [sys.executable, __file__, "5"]).wait(300)
    assert [rank.code for rank in ranks] == [0, 0, 0], "\n".join(rank.err[-2000:] for rank in ranks)


def test_a_row_of_tensors_is_the_row_of_lists() -> None:
    listed = PackedSample(0, [1, 2], [3, 4, 5], 0.5, [True, False, True], [-0.5, -0.25, -2.0], 0.3, [0, 1, 2], 2)
    tensors: list[Any] = [torch.tensor(value) if isinstance(value, list) else value for value in astuple(listed)]
    same(pack_row([listed]), pack_row([PackedSample(*tensors)]))


if __name__ == "__main__":
    assert os.environ["WORLD_SIZE"]
    rank_main(int(sys.argv[1]))
