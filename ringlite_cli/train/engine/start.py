"""Whether RL generates through vLLM, what has to be right before it starts, and what a step says of it afterwards."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.engine import check_vllm, prepare_environment
from ringlite_cli.errors import UserError
from ringlite_cli.freeing import import_apart
from ringlite_cli.recipe.c3po import VllmServer
from ringlite_cli.recipe.trl_fields import trl_default
from ringlite_cli.train.engine.external_server import check_server
from ringlite_cli.train.engine.own_server import ServerProcess, choose_gpus, ranks_here, serve, visible_gpus

Row = dict[str, Any]


@dataclass(frozen=True)
class Watch:
    """What stops a run, and what it starts.

    sync_tolerance: mean |difference| of the probe's log-probabilities, nats per token. timeout: seconds of a rollout.
    policy: what a server has to serve. server: how the run's own is started; None where there is none, or another's.
    log: the file for what it says.
    """

    sync_tolerance: float = 0.1
    timeout: float = 1800.0
    policy: Path | None = None
    server: VllmServer | None = None
    log: Path = Path("vllm-server.log")

    def start_server(self, args: Any) -> ServerProcess:
        """The run's own server, once it answers. args: a GRPOConfig. Raises UserError, WorkFailed."""
        assert self.policy is not None
        assert self.server is not None
        return serve(self.policy, self.server, args, self.log)


def generation_for(args: Any, watch: Watch) -> AbstractContextManager[None]:
    """In this block a trainer is made; with `use_vllm` it generates through a watched engine.

    Raises UserError where vLLM is missing or of a version that TRL does not drive, where a server is not there or
    serves another model, and where there is no GPU for the run's own.
    """
    if not args.use_vllm:
        return nullcontext()
    check_vllm("trl.use_vllm", instead="set use_vllm: false")
    if args.vllm_mode == "server" and args.process_index == 0:
        _check_server(args, watch)
    prepare_environment(cuda=args.device.type == "cuda")
    watched: AbstractContextManager[None] = import_apart("ringlite_cli.train.engine.watched").watched_generation(
        watch, args
    )
    return watched


def _check_server(args: Any, watch: Watch) -> None:
    if args.device.type != "cuda":
        raise UserError(
            "weights reach a vLLM server over NCCL, between GPUs, and the trainer has none",
            where="trl.vllm_mode",
            hint="set it to colocate",
        )
    if watch.server is not None:
        choose_gpus(watch.server, visible_gpus(), ranks_here())
    elif watch.policy is not None:
        check_server(args, watch.policy)


def end_generation(trainer: Any) -> None:
    """Frees the engine of a trainer that has one."""
    generation = getattr(trainer, "vllm_generation", None)
    if generation is not None:
        generation.end()


def check_memory(trl: Mapping[str, Any], training_bytes: int, free: int, total: int) -> None:
    """Raises UserError where a colocated engine and the trainer's weights and optimizer exceed the free memory.

    training_bytes: weights, gradients and optimizer (c3po/memory.py); activations come on top. free, total: of the GPU.
    """
    if not trl.get("use_vllm") or trl.get("vllm_mode", trl_default("GRPOConfig", "vllm_mode")) != "colocate":
        return
    share = trl.get("vllm_gpu_memory_utilization", trl_default("GRPOConfig", "vllm_gpu_memory_utilization"))
    engine = int(share * total)
    together = max(engine, training_bytes) if trl.get("vllm_enable_sleep_mode") else engine + training_bytes
    if together > free:
        raise UserError(
            f"the engine takes {_gib(engine)} and the trainer at least {_gib(training_bytes)}, of {_gib(free)} free: "
            f"{_gib(together - free)} are missing",
            where="trl.vllm_gpu_memory_utilization",
            hint=f"lower it from {share:g}, or set trl.vllm_enable_sleep_mode: true",
        )


def phase_stats(trainer: Any, stats: Mapping[str, Any], step_seconds: float) -> Row:
    """What the rollout phase of a step was: tokens/s, and with vLLM its seconds, idle share and drift."""
    if not stats.get("rollout_seconds"):
        return {}
    row: Row = {"rollout_tokens_per_second": stats["tokens_generated"] / stats["rollout_seconds"]}
    generation = getattr(trainer, "vllm_generation", None)
    if generation is not None:
        row |= generation.take_stats()
        row["generation_tokens_per_second"] = stats["tokens_generated"] / max(row["generation_seconds"], 1e-9)
        row["engine_idle_share"] = max(0.0, 1 - row["generation_seconds"] / max(step_seconds, 1e-9))
    return row


def tail_share(lengths: Sequence[int], longest: float = 0.05) -> float:
    """Share of a rollout's decoding steps in which at most the longest 5 % of its responses still run.

    Exact where all responses start together and a step takes as long for few as for many, which nearly holds for
    engines that are bound by memory.
    """
    ordered = sorted(lengths)
    others = ordered[: max(1, round(len(ordered) * (1 - longest)))]
    return (ordered[-1] - others[-1]) / ordered[-1] if ordered and ordered[-1] else 0.0


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
