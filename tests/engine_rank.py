"""The program of one rank that trains through vLLM, sharded by FSDP2: a FILE of [{out, policy, dies_at_sync, options}].

What engine and trainer say after each sync is written beside the run's folder. dies_at_sync: the second rank kills
itself in the middle of that sync's weights, once. server_dies: [["sync" or "rollout", n], ...]: the run draws by a
server of its own, which is killed in the middle of the n-th of these, counted with those that are made again.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
from ringlite_cli.train.engine import publishing, start  # noqa: E402
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
            seen.facts.setdefault("server", []).append(seen.facts.get("servers"))

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


@contextmanager
def serving(job: dict[str, Any], seen: fsdp_on_cpu.Seen) -> Iterator[dict[str, Any]]:
    """Let a job's run start a server here, which is killed as the job says. Yields options of the run."""
    import pytest
    import server_on_cpu
    from trl.generation.vllm_client import VLLMClient

    policy = Path(job["policy"])
    with pytest.MonkeyPatch.context() as patch:
        started = server_on_cpu.allow(patch, policy.with_name("alias"), policy)
        serve, generate, update = start.serve, VLLMClient.generate, VLLMClient.update_named_params
        done = {"sync": 0, "rollout": 0}

        def is_due(what: str) -> bool:
            done[what] += 1
            return [what, done[what]] in job["server_dies"]

        def served(*args: Any) -> Any:
            server = serve(*args)
            seen.facts["servers"] = len(started)
            return server

        def generated(client: Any, *args: Any, **kwargs: Any) -> Any:
            if is_due("rollout"):
                server_on_cpu.kill(started[-1], signal.SIGSTOP)  # the requests arrive, and nobody answers them
                threading.Timer(1.0, server_on_cpu.kill, [started[-1]]).start()
            return generate(client, *args, **kwargs)

        def updated(client: Any, metadata: Any, named: Iterator[Any]) -> None:
            update(client, metadata, dying_after(3, named) if is_due("sync") else named)

        def dying_after(count: int, named: Iterator[Any]) -> Iterator[Any]:
            for place, each in enumerate(named):
                if place == count:
                    server_on_cpu.kill(started[-1])
                yield each

        patch.setattr(start, "serve", served)
        patch.setattr(VLLMClient, "generate", generated)
        patch.setattr(VLLMClient, "update_named_params", updated)
        yield server_on_cpu.OPTIONS


def main() -> None:
    seen = fsdp_on_cpu.Seen()
    watch(seen)
    share_memory_apart(f"ringlite-{sha256(sys.argv[1].encode()).hexdigest()[:12]}")
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        out, seen.facts = Path(job["out"]), {}
        if job["dies_at_sync"]:
            die_in_sync(job["dies_at_sync"])
        try:
            with serving(job, seen) if "server_dies" in job else nullcontext({}) as more:
                vllm_runs.train(Path(job["policy"]), out, **{**job["options"], **more})
        except (RuntimeError, RingliteError) as error:
            told = as_failure(error, out)
            if told is None:
                raise
            seen.facts["told"] = str(told)
            seen.report(out)
            first = out.with_name(f"{out.name}.rank0.json")
            vllm_runs.wait_for(first.exists, 60)  # a launcher ends all ranks with the first that does
            print(f"told by rank {os.environ['RANK']}: {told}", file=sys.stderr, flush=True)
            raise SystemExit(1) from None
        finally:
            seen.report(out)


if __name__ == "__main__":
    main()
