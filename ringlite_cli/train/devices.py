"""Which of a machine's GPUs a process trains on, how much memory they have, and who shares what is held."""

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.runs.ranks import world_size

OF_ONE_KIND = "launch on GPUs of one kind (CUDA_VISIBLE_DEVICES chooses among a machine's)"


def on_one_gpu(args: Any) -> Any:
    """Return TrainingArguments for one GPU a process. transformers would spread a lone process over all that it sees
    by DataParallel, which takes packed rows apart; several GPUs train by `accelerate launch`, a rank each."""
    if args.n_gpu > 1:
        args._n_gpu = 1
    return args


def sharing_ranks(environment: Mapping[str, str] = os.environ) -> int:
    """Return the ranks that share weights, gradients and optimizer: all that a launcher with FSDP started, else 1."""
    shards = environment.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    return world_size(environment) if shards else 1


def offloads(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a launcher's FSDP keeps weights, gradients and optimizer in the host's memory."""
    return sharing_ranks(environment) > 1 and environment.get("FSDP_OFFLOAD_PARAMS", "").lower() == "true"


def reshards(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a launcher's FSDP gives a layer's weights up behind its forward pass, as it does if not told."""
    return environment.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() not in ("false", "no", "0", "f", "n", "off")


def memory_here(timeout: float) -> tuple[int, int]:
    """Return the bytes that are free on a rank's GPU, and all of them; the least over ranks, so that all plan alike.

    timeout: seconds that ranks wait for each other in this run. Raises UserError on every rank where their GPUs differ.
    """
    import torch

    if world_size() == 1:
        return torch.cuda.mem_get_info()
    from accelerate import PartialState
    from accelerate.utils import gather_object

    PartialState(timeout=timedelta(seconds=timeout))  # sets this rank's device too
    free, total = torch.cuda.mem_get_info()
    return least_memory(gather_object([(gpu_name(), free, total)]))


def least_memory(ranks: Sequence[tuple[str, int, int]]) -> tuple[int, int]:
    """Return the least free and total bytes over ranks. ranks: (name of the GPU, free bytes, bytes) of each.

    Raises UserError where GPUs differ.
    """
    refuse_other_gpus([name for name, *_ in ranks])
    return min(free for _, free, _ in ranks), min(total for *_, total in ranks)


def refuse_other_gpus(names: Sequence[str]) -> None:
    """Raise UserError where ranks have GPUs of several kinds. names: by rank.

    The slower ones would hold up all others, and the smaller decide what fits.
    """
    if others := [(rank, name) for rank, name in enumerate(names) if name != names[0]]:
        rank, name = others[0]
        raise UserError(
            f"rank 0 trains on {_one(names[0])} and rank {rank} on {_one(name)}", where="GPUs", hint=OF_ONE_KIND
        )


def check_gpus(state: Any) -> None:
    """Raise UserError on every rank where their GPUs differ. state: accelerate's. All ranks have to call it."""
    if state.num_processes == 1:
        return
    from accelerate.utils import gather_object

    refuse_other_gpus(gather_object([gpu_name()]))


def gpu_name(place: int | None = None) -> str:
    """Return the name of this process's GPU, or of the one at `place` of those it sees; "" without one."""
    import torch

    return torch.cuda.get_device_name(place) if torch.cuda.is_available() else ""


def _one(name: str) -> str:
    return f"a {name}" if name else "a CPU"
