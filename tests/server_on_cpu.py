"""A run's own vLLM server beside a trainer on CPUs: all of it is real but the way of the weights, which is NCCL's.

TRL's client joins the server by NCCL and broadcasts one tensor after the other to it. Here what it would broadcast is
written to a folder, and the server is told, by its own interface for that, to read it. As there, a tensor that finds
the server gone is the last one.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import save_file
from trl.generation.vllm_client import VLLMClient
from trl.scripts import vllm_serve
from vllm_runs import session

from ringlite_cli.train.engine import own_server, start

SETTINGS = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
OPTIONS: dict[str, Any] = {"mode": "server", "vllm_dtype": "float32", "vllm_server": {"enforce_eager": True}}
"""Of vllm_runs.train."""


def package_alias(folder: Path) -> Path:
    """A folder for PYTHONPATH by which vLLM's CPU build is found under the name that its server looks for."""
    with suppress(ImportError):
        version("vllm")
        return folder
    about = folder / "vllm.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version('vllm-cpu')}+cpu\n")
    return folder


def allow(patch: pytest.MonkeyPatch, folder: Path, policy: Path) -> list[own_server.ServerProcess]:
    """Let runs start a server here, until the patch is undone. Returns the servers that they start, as they do."""
    started: list[own_server.ServerProcess] = []
    plain, command = start.serve, vllm_serve.build_command

    def serve(*args: Any) -> own_server.ServerProcess:
        started.append(plain(*args))
        return started[-1]

    def without_nccl(*args: Any) -> list[str]:
        words = command(*args)
        place = words.index("--weight-transfer-config")
        return [*words[:place], *words[place + 2 :]]

    def update_named_params(client: VLLMClient, _: Any, named: Iterator[tuple[str, Any]]) -> None:
        tensors = {}
        for name, tensor in named:
            client.session.get(f"{client.base_url}/health").raise_for_status()
            tensors[name] = tensor
        with tempfile.TemporaryDirectory() as sent:
            save_file(tensors, f"{sent}/model.safetensors", metadata={"format": "pt"})
            shutil.copy(policy / "config.json", sent)
            asked: dict[str, Any] = {"method": "reload_weights", "kwargs": {"weights_path": sent}}
            client.session.post(f"{client.base_url}/collective_rpc", json=asked).raise_for_status()

    for name, value in SETTINGS.items():
        patch.setenv(name, value)
    patch.setenv("PYTHONPATH", str(package_alias(folder)), prepend=":")
    patch.setattr(start, "serve", serve)
    patch.setattr(start, "_check_server", lambda *_: None)
    patch.setattr(own_server, "choose_gpus", lambda *_: [])
    patch.setattr(vllm_serve, "build_command", without_nccl)
    patch.setattr(VLLMClient, "init_communicator", lambda *_, **__: None)
    patch.setattr(VLLMClient, "update_named_params", update_named_params)
    return started


def kill(server: own_server.ServerProcess, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to all that a server consists of, but the leash, which ends with it."""
    (leader,) = psutil.Process(server._process.pid).children()
    for pid in session(leader.pid):
        os.kill(pid, number)
