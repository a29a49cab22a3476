"""What a stage is lent by its run: the engine that an earlier stage has left in this process."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ringlite_cli.engine import batched_tokens, engine_seed, graph_settings


class RunEngine(Protocol):
    """A run's vLLM engine: at most one at a time, which stays from stage to stage where they agree in its settings.

    gpu_bytes: what it takes of the GPU's memory between stages, 0 where there is none.
    """

    gpu_bytes: int

    def make_room(self, policy: Path, settings: Mapping[str, Any]) -> None:
        """End an engine that does not fit a trainer of this policy, before the trainer takes memory beside it.

        settings: the arguments of LLM that the trainer's engine will be asked for with.
        """
        ...

    def take(self, policy: Path, start_one: Callable[[], Any], settings: Mapping[str, Any]) -> Any:
        """Return a vLLM `LLM` for a trainer of this policy: the run's, or where that does not fit one from `start_one`.

        settings: the arguments of LLM that `start_one` starts with. Raises what `start_one` raises.
        """
        ...

    def rest(self) -> None:
        """Leave the engine to the next stage; with sleep mode it gives its memory back until then."""
        ...

    def end(self) -> None:
        """End the engine and free its memory."""
        ...


@contextmanager
def group_not_ours() -> Iterator[None]:
    """Keep transformers from warning of a process group in this block: a held engine has made it, for itself alone."""
    logger = logging.getLogger("transformers.training_args")

    def other(record: logging.LogRecord) -> bool:
        return "process group is initialized" not in record.getMessage()

    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def asked_settings(args: Any, number_formats: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of vLLM's LLM with which TRL's trainer will ask for its engine, beside it on one rank.

    args: its GRPOConfig. number_formats: those that the recipe names, as arguments of LLM.
    """
    responses = args.per_device_train_batch_size * args.vllm_tensor_parallel_size * args.steps_per_generation
    if getattr(args, "carries", False):
        responses = args.settings.responses(args.num_generations, args.world_size)
    if args.device.type == "cpu":
        dtype = (args.model_init_kwargs or {}).get("dtype", "float32")
        ours = {"enforce_eager": True, "dtype": str(dtype).removeprefix("torch.")}
    else:
        ours = graph_settings(responses)
    return {
        **ours,
        **number_formats,
        "tensor_parallel_size": args.vllm_tensor_parallel_size,
        "gpu_memory_utilization": args.vllm_gpu_memory_utilization,
        "max_model_len": args.vllm_max_model_length,
        "max_num_seqs": responses,
        "max_num_batched_tokens": batched_tokens(responses),
        "enable_sleep_mode": args.vllm_enable_sleep_mode,
        "model_impl": args.vllm_model_impl,
        "trust_remote_code": args.trust_remote_code,
        "logprobs_mode": "processed_logprobs",
        "seed": engine_seed(args.seed),
    }
