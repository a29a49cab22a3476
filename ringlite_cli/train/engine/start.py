"""Whether RL generates through vLLM, what has to be right before it starts, and what a step says of it afterwards."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.engine import check_vllm, head_dtype_fault, prepare_environment
from ringlite_cli.errors import UserError
from ringlite_cli.freeing import import_apart
from ringlite_cli.recipe.rl_settings import RlSettings, VllmServer
from ringlite_cli.runs.row_types import MetricsRow
from ringlite_cli.train.engine.external_server import check_server
from ringlite_cli.train.engine.held import RunEngine
from ringlite_cli.train.engine.own_server import ServerProcess, choose_gpus, ranks_here, serve, visible_gpus


@dataclass(frozen=True)
class Watch:
    """What stops a run, and what it starts.

    sync_tolerance: mean |difference| of log-probabilities after a sync, nats per token. timeout: seconds of a rollout.
    policy: what a server has to serve. server: how the run's own is started; None where there is none, or another's.
    log: the file for what it says. router_bias: whether the routers' biases change, and have to be sent. dtype,
    head_dtype: number formats of an engine that the run starts, "auto" for its own choice. engine: the run's, for the
    stage to go on with; None where the stage has one of its own, which ends with it.
    """

    sync_tolerance: float = RlSettings.model_fields["sync_tolerance"].default
    timeout: float = RlSettings.model_fields["engine_timeout"].default
    policy: Path | None = None
    server: VllmServer | None = None
    log: Path = Path("vllm-server.log")
    router_bias: bool = False
    dtype: str = "auto"
    head_dtype: str = "auto"
    engine: RunEngine | None = None

    def number_formats(self) -> dict[str, Any]:
        """Return vLLM's arguments for the number formats. Raises UserError where its version has no such head."""
        found: dict[str, Any] = {} if self.dtype == "auto" else {"dtype": self.dtype}
        if self.head_dtype != "auto":
            if why := head_dtype_fault():
                hint = "leave it out and set vllm_dtype: float32, or install a later version"
                raise UserError(why, where="vllm_head_dtype", hint=hint)
            found["hf_overrides"] = {"head_dtype": self.head_dtype}
        return found

    def start_server(self, args: Any) -> ServerProcess:
        """Start the run's own server and wait for it. args: a GRPOConfig. Raises UserError, WorkFailed."""
        assert self.policy is not None
        assert self.server is not None
        return serve(self.policy, self.server, args, self.log, self.number_formats())


def generation_for(args: Any, watch: Watch) -> AbstractContextManager[None]:
    """Make a trainer in this block: with `use_vllm` it generates through a watched engine.

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


@contextmanager
def generation_ending(trainer: Any) -> Iterator[None]:
    """Free a trainer's engine behind the block; one that the run lent it stays for the next stage if all is well."""
    try:
        yield
    except BaseException:
        end_generation(trainer)
        raise
    end_generation(trainer, keep=True)


def end_generation(trainer: Any, *, keep: bool = False) -> None:
    """Free the engine of a trainer that has one. keep: leave the run's engine, which it was lent, to the next stage."""
    if (carried := getattr(trainer, "carried", None)) is not None:
        carried.writer.end()
    generation = getattr(trainer, "vllm_generation", None)
    if generation is not None:
        generation.end(keep=keep)


def phase_stats(trainer: Any, stats: Mapping[str, Any], step_seconds: float) -> MetricsRow:
    """Return the numbers of a step's rollout phase: tokens/s, and with vLLM its seconds, idle share and drift.

    A rollout that was drawn while the step before trained has no tokens/s: its seconds are those of waiting for it.
    """
    if not stats.get("rollout_seconds"):
        return {}
    row: MetricsRow = {}
    if not getattr(getattr(trainer, "carried", None), "drawn_ahead", False):
        row["rollout_tokens_per_second"] = stats["tokens_generated"] / stats["rollout_seconds"]
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
