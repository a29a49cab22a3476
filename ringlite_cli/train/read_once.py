"""Weights that FSDP2 will share out, read by one rank of each machine: the host then holds them once, not once a rank.

transformers gives the other ranks weights of zeros, which take no memory, and the first rank sends every rank its
pieces when accelerate shares the model out. What has to be tried on a model before is tried on a small copy of it
(`small_copy`): on zeros, every check would pass.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ringlite_cli.c3po.row_path import small_copy
from ringlite_cli.runs.sharding import READ_ONCE, launched_sharded, read_everywhere


def copy_in_small(folder: Path | str, trust_remote_code: bool = False) -> Any:
    """Return a small copy of a folder's architecture, made from its config; None where it cannot be made in small."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        lm = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    return small_copy(lm)


@contextmanager
def read_once_if_sharded(folder: Path | str, trust_remote_code: bool = False) -> Iterator[Any]:
    """Load a folder's model in this block: one rank of each machine reads it where it will be shared out.

    Yields the small copy (on the CPU) that is to be tried in its place. None where every rank reads the model: it is
    not shared out, or cannot be made in small.
    """
    in_small = copy_in_small(folder, trust_remote_code) if launched_sharded() else None
    with read_once(in_small is not None):
        yield in_small


@contextmanager
def read_once(wanted: bool) -> Iterator[None]:
    """In this block the first rank of each machine alone reads weights where `wanted`; every rank does where not.

    Outside of it every rank reads what it loads, whatever the launcher's configuration says: engines need all of it.
    """
    os.environ[READ_ONCE] = "true" if wanted else "false"
    try:
        yield
    finally:
        read_everywhere()


def is_read_once() -> bool:
    """Return whether a model that is loaded now is read by one rank of each machine."""
    return os.environ.get(READ_ONCE, "").lower() in ("true", "1")


def send_pieces(accelerator: Any, model: Any, full_sd: dict[str, Any], cpu_offload: bool = False) -> None:
    """Give every rank its pieces of the first rank's weights, tensor by tensor, and the buffers whole.

    In place of accelerate's fsdp2_load_full_state_dict, which fails at buffers that are saved (a router's bias).
    full_sd: the first rank's weights and buffers by name; of other ranks, it is not read.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, cpu_offload=cpu_offload)
    set_model_state_dict(model, full_sd if accelerator.is_main_process else {}, options=options)
