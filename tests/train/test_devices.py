"""GPUs of ranks: all plan by the least memory, and GPUs of two kinds are refused."""

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.train.devices import least_memory, offloads, sharing_ranks


def test_ranks_plan_by_the_least_memory_of_all():
    assert least_memory([("NVIDIA H100", 70, 80), ("NVIDIA H100", 60, 79)]) == (60, 79)


def test_gpus_of_two_kinds_are_refused_with_the_first_that_differs():
    ranks = [("NVIDIA H100", 70, 80), ("NVIDIA H100", 70, 80), ("NVIDIA A100", 70, 80)]
    with pytest.raises(UserError, match="rank 0 trains on a NVIDIA H100 and rank 2 on a NVIDIA A100"):
        least_memory(ranks)


def test_who_shares_is_what_the_launcher_says():
    fsdp = {"ACCELERATE_USE_FSDP": "true", "WORLD_SIZE": "8"}
    assert [sharing_ranks(x) for x in ({}, {"WORLD_SIZE": "8"}, fsdp)] == [1, 1, 8]
    assert [offloads(fsdp | {"FSDP_OFFLOAD_PARAMS": flag}) for flag in ("true", "false")] == [True, False]
    assert not offloads({"FSDP_OFFLOAD_PARAMS": "true"})
