"""The program of one rank that trains through vLLM, sharded by FSDP2: a FILE of [{out, policy, dies_at_sync, options}].

What engine and trainer say after each sync is written beside the run's folder. dies_at_sync: the second rank kills
itself in the middle of that sync's weights, once. server_dies_after: the step after which the run's own server, by
which it draws then, is killed.
"""

import json
import os
import signal
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import fsdp_on_cpu

fsdp_on_cpu.allow()

import vllm_runs  # noqa: E402

from ringlite_cli.engine import prepare_environment  # noqa: E402
from ringlite_cli.errors import RingliteError  # noqa: E402
from ringlite_cli.stages.walk.failures import as_failure  # noqa: E402
from ringlite_cli.train.engine import publishing  # noqa: E402
from ringlite_cli.train.engine.watched import WatchedGeneration  # noqa: E402
from ringlite_cli.train.rl.trainer import C3POTrainer  # noqa: E402


def watch(seen: fsdp_on_cpu.Seen) -> None:
    """Has what engine and trainer are, and say after each sync, written into `seen.facts`."""
    check, step = WatchedGeneration._check_weights, C3POTrainer.training_step

    def checked(self: Any, llm: Any) -> None:
        due = self._check_due
        check(self, llm)
        if due:
            ours, theirs = vllm_runs.greedy_of_trainer(self.model), None
            if llm is not None:
                parallel = llm.llm_engine.vllm_config.parallel_config
                seen.facts["engine"] = [type(llm).__module__, parallel.tensor_parallel_size]
                theirs = vllm_runs.greedy_of_engine(llm)
            elif self.accelerator.is_main_process:
                theirs = vllm_runs.greedy_of_server(self.vllm_client)
            seen.facts.setdefault("greedy", []).append([theirs, ours])

    def stepped(self: Any, model: Any, inputs: Any, *more: Any) -> Any:
        seen.model(model)
        return step(self, model, inputs, *more)

    setattr(WatchedGeneration, "_check_weights", checked)  # noqa: B010
    setattr(C3POTrainer, "training_step", stepped)  # noqa: B010


def die_in_sync(number: int) -> None:
    """Have the second rank killed after it has gathered the first block of a sync, as the kernel would kill it."""
    plain, syncs = publishing.weights_by_block, 0

    def weights_by_block(model: Any) -> Any:
        nonlocal syncs
        syncs += 1
        for named in plain(model):
            yield named
            if syncs == number and os.environ["RANK"] == "1":
                os.kill(os.getpid(), signal.SIGKILL)

    publishing.weights_by_block = weights_by_block


def share_memory_apart(name: str) -> None:
    """Let an engine over several CPU ranks start: vLLM's CPU build names their shared memory alike in every launch.

    It leaves it behind, too, and then no such engine starts on the machine again. name: of this launch.
    """
    prepare_environment(cuda=False)
    from vllm.distributed.device_communicators import cpu_communicator

    kind: Any = cpu_communicator._CPUSHMDistributed
    plain, join = kind.make_group_name, kind._init_cpu_shm

    def joined(self: Any) -> int:
        handle: int = join(self)
        for left in Path("/dev/shm").glob(f"{name}-*"):  # all ranks have opened it
            left.unlink(missing_ok=True)
        return handle

    kind.make_group_name = staticmethod(lambda communicator: f"{name}-{plain(communicator).lstrip('/')}")
    kind._init_cpu_shm = joined


def serving(job: dict[str, Any], policy: Path) -> dict[str, Any]:
    """Options of a job whose run starts a server here, which is killed after a step."""
    import pytest
    import server_on_cpu

    started = server_on_cpu.allow(pytest.MonkeyPatch(), policy.with_name("alias"), policy)

    def on_step(row: dict[str, Any]) -> None:
        if row["step"] == job["server_dies_after"]:
            server_on_cpu.kill(started[0])

    return {**job["options"], **server_on_cpu.OPTIONS, "on_step": on_step}


def main() -> None:
    seen = fsdp_on_cpu.Seen()
    watch(seen)
    share_memory_apart(f"ringlite-{sha256(sys.argv[1].encode()).hexdigest()[:12]}")
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        out, seen.facts = Path(job["out"]), {}
        if job["dies_at_sync"]:
            die_in_sync(job["dies_at_sync"])
        try:
            policy = Path(job["policy"])
            vllm_runs.train(policy, out, **(serving(job, policy) if "server_dies_after" in job else job["options"]))
        except (RuntimeError, RingliteError) as error:
            told = as_failure(error, out)
            if told is None:
                raise
            print(f"told by rank {os.environ['RANK']}: {told}", file=sys.stderr, flush=True)
            raise SystemExit(1) from None
        finally:
            seen.report(out)


if __name__ == "__main__":
    main()
