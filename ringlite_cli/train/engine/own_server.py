"""A vLLM server that a run starts for one RL stage and ends with it, on GPUs of its own.

TRL's `vllm-serve` says how vLLM's server has to be started; its weights come over NCCL, which joins no GPU twice, so
server and trainer need different ones.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.engine import engine_seed
from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.http_client import answers
from ringlite_cli.models.extra_layers import engine_folder
from ringlite_cli.recipe.rl_settings import VllmServer

_POLL, _TAIL = 0.5, 5
_OF_THE_TRAINER = (
    "VLLM_ENABLE_V1_MULTIPROCESSING",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
)
"""Settings of this process and its ranks that a server would take for its own."""


def choose_gpus(server: VllmServer, visible: list[str], ranks: int) -> list[str]:
    """Return the server's GPUs, of those that are visible; the trainer's `ranks` on this machine have the first ones.

    Raises UserError where there are too few, or where the recipe names some that the trainer holds.
    """
    needed = server.tensor_parallel_size * server.data_parallel_size
    where = "vllm_server"
    if len(visible) < ranks + needed:
        raise UserError(
            f"the server needs {needed} GPU(s) beside the trainer's {ranks}, and {len(visible)} can be seen",
            where=where,
            hint="set trl.vllm_mode: colocate, which shares the trainer's, or name a server elsewhere by "
            "trl.vllm_server_base_url",
        )
    if server.gpus is None:
        return visible[ranks : ranks + needed]
    if len(server.gpus) != needed or max(server.gpus) >= len(visible):
        raise UserError(
            f"gpus names {server.gpus}, where {needed} of 0 to {len(visible) - 1} are needed "
            "(tensor_parallel_size x data_parallel_size)",
            where=where,
        )
    if min(server.gpus) < ranks:
        raise UserError(
            f"gpus names {server.gpus}, and the trainer has the first {ranks}", where=where, hint="name others"
        )
    return [visible[gpu] for gpu in server.gpus]


def visible_gpus() -> list[str]:
    """Return names for CUDA_VISIBLE_DEVICES of the GPUs that this process sees."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    every = [str(i) for i in range(torch.cuda.device_count())] if named is None else named.split(",")
    return every[: torch.cuda.device_count()]


def ranks_here() -> int:
    """Return how many ranks of the trainer are on this machine; each has the GPU of its number."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class ServerProcess:
    """The server of one policy. Ended by `end`, and whatever happens to this process, by its leash."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], port: int, log: Path, grace: float = 15.0
    ) -> None:
        """Start the command, whose server will answer on 127.0.0.1:port; what it says goes to `log`.

        grace: seconds that it may take to end when it is told to.
        """
        self.url, self.log = f"http://127.0.0.1:{port}", log
        log.parent.mkdir(parents=True, exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if name not in _OF_THE_TRAINER}
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ringlite_cli.train.engine.leash", str(grace), *command],
                env=inherited | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, seconds: float) -> None:
        """Wait until the server answers. Raises WorkFailed where it ends before, or takes longer."""
        until = time.monotonic() + seconds
        while not self._answers():
            if self.is_gone() or time.monotonic() > until:
                ended = self.is_gone()
                self.end()
                raise WorkFailed(
                    f"the vLLM server {'ended while it started' if ended else f'took more than {seconds:g} s to start'}"
                    f" ({self._last_words()})",
                    hint=f"{self.log} has all that it said; trl.vllm_server_timeout is the time that it may take",
                )
            time.sleep(_POLL)

    def end(self) -> None:
        """End the server and its workers, and wait for that."""
        if not self.is_gone():
            self._process.terminate()
        self._process.wait()

    def is_gone(self) -> bool:
        """Return whether the server has ended."""
        return self._process.poll() is not None

    def _answers(self) -> bool:
        return answers(f"{self.url}/health", timeout=5)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.is_file() else []
        told = [line.strip() for line in lines if line.strip()][-_TAIL:]
        return " | ".join(line[-200:] for line in told) or "it said nothing"


def serve(
    policy: Path, server: VllmServer, args: Any, log: Path, formats: Mapping[str, Any] | None = None
) -> ServerProcess:
    """Start vLLM's server for a policy, as TRL's trainers expect it, and wait until it answers.

    args: a GRPOConfig, for the lengths and the time-out. formats: number formats, as vLLM's LLM takes them. Raises
    UserError, WorkFailed.
    """
    from trl.scripts.vllm_serve import ScriptArguments, build_command

    gpus = choose_gpus(server, visible_gpus(), ranks_here())
    port = free_port()
    environment = {"CUDA_VISIBLE_DEVICES": ",".join(gpus), "VLLM_SERVER_DEV_MODE": "1"}
    with engine_folder(policy) as folder:
        arguments = ScriptArguments(
            model=folder,
            host="127.0.0.1",
            port=port,
            tensor_parallel_size=server.tensor_parallel_size,
            data_parallel_size=server.data_parallel_size,
            gpu_memory_utilization=server.gpu_memory_utilization,
            enforce_eager=server.enforce_eager,
            max_model_len=args.vllm_max_model_length,
            vllm_model_impl=args.vllm_model_impl,
            log_level="warning",
        )
        drawing = ["--seed", str(engine_seed(args.seed)), *_flags(formats or {})]
        process = ServerProcess(build_command(arguments, drawing), environment, port, log)
        process.wait(args.vllm_server_timeout)
    return process


def _flags(formats: Mapping[str, Any]) -> list[str]:
    """Return the server's flags; the last of two equal ones counts."""
    found = []
    for name, value in formats.items():
        found += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
    return found


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
