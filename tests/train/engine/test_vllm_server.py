"""A vLLM server that a run starts: which GPUs it takes, what it answers, and that nothing of it outlives the run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import server_on_cpu
import torch
from safetensors.torch import load_file
from tiny_lm import save_policy
from transformers import AutoModelForCausalLM
from trl.generation.vllm_client import VLLMClient
from vllm_runs import session, train, wait_for, with_vllm

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.models import register
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.rl_settings import VllmServer, starts_server
from ringlite_cli.samples import Request, SamplingSettings
from ringlite_cli.stages.kinds.rl import faults
from ringlite_cli.train.devices import on_one_gpu
from ringlite_cli.train.engine.noting_client import NotingClient
from ringlite_cli.train.engine.own_server import ServerProcess, choose_gpus, free_port
from ringlite_cli.train.engine.start import Watch
from ringlite_cli.train.engine.watched import WatchedGeneration
from ringlite_cli.train.engine.weights import published_weights

BAILING = Path(__file__).parents[2] / "models" / "golden" / "ling_like"
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), flush=True)
time.sleep(600)
"""
"""A command that ignores SIGTERM and has a worker, like a server that hangs."""


def test_an_address_makes_the_server_anothers() -> None:
    server = {"use_vllm": True, "vllm_mode": "server"}
    assert starts_server(server)
    assert not starts_server(server | {"vllm_server_base_url": "http://elsewhere:8000"})
    assert not starts_server(server | {"vllm_server_host": "elsewhere"})
    assert not starts_server({"use_vllm": True})
    assert not starts_server({"vllm_mode": "server"})


def test_the_server_takes_gpus_that_the_trainer_leaves() -> None:
    four = ["4", "5", "6", "7"]
    assert choose_gpus(VllmServer(), four, ranks=1) == ["5"]
    assert choose_gpus(VllmServer(tensor_parallel_size=2), four, ranks=2) == ["6", "7"]
    assert choose_gpus(VllmServer(gpus=[3]), four, ranks=1) == ["7"]
    with pytest.raises(UserError, match=r"needs 1 GPU\(s\) beside the trainer's 1, and 1 can be seen.*colocate"):
        choose_gpus(VllmServer(), ["0"], ranks=1)
    with pytest.raises(UserError, match=r"the trainer has the first 2"):
        choose_gpus(VllmServer(gpus=[1]), four, ranks=2)
    with pytest.raises(UserError, match=r"2 of 0 to 3 are needed"):
        choose_gpus(VllmServer(gpus=[3], data_parallel_size=2), four, ranks=1)
    with pytest.raises(UserError, match=r"1 of 0 to 3 are needed"):
        choose_gpus(VllmServer(gpus=[4]), four, ranks=1)


@with_vllm
def test_a_trainer_without_a_gpu_is_told_that_a_server_is_not_for_it(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy", "llama")
    with pytest.raises(UserError, match=r"trl\.vllm_mode: weights reach a vLLM server over NCCL.*colocate"):
        train(policy, tmp_path / "run", mode="server")


def dead(*_: Any) -> None:
    raise ConnectionError("planted: nobody listens")


def silent(*_: Any) -> None:
    while True:
        time.sleep(0.01)


def client_of(generation: Any) -> NotingClient:
    """A client that has joined no server."""
    client = object.__new__(NotingClient)
    client._fault, client._limit, client._is_gone = None, generation._in_time, None
    return client


@pytest.mark.parametrize(("fault", "words"), [(dead, "ConnectionError: planted"), (silent, r"no answer in 0\.2 s")])
@pytest.mark.parametrize("ranks", [1, 2])
def test_anothers_server_that_takes_no_weights_is_told_and_not_started(
    ranks: int, fault: Callable[[Any], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights go between GPUs; here it is their way that is planted. The first rank decides for all."""
    monkeypatch.setattr(VLLMClient, "update_named_params", fault)
    generation = object.__new__(WatchedGeneration)
    generation.mode, generation.server, generation.llm, generation.restarts = "server", None, None, 0
    generation.watch, generation.accelerator = Watch(timeout=0.2), SimpleNamespace(num_processes=ranks)
    generation.vllm_client = client_of(generation)
    given = iter([("a", torch.zeros(1)), ("b", torch.zeros(1))])
    generation.vllm_client.update_named_params([], given)
    assert next(given, None) is None, "other ranks wait for the rest to be gathered"
    with pytest.raises(WorkFailed, match=rf"the vLLM engine failed in mid-step \({words}.*set use_vllm: false"):
        generation._next()


def test_weights_that_can_t_be_gathered_are_no_fault_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def gathered() -> Iterator[tuple[str, torch.Tensor]]:
        yield "a", torch.zeros(1)
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(VLLMClient, "update_named_params", lambda *given: list(given[2]))
    client = client_of(SimpleNamespace(_in_time=nullcontext))
    with pytest.raises(RuntimeError, match="closed by peer"):
        client.update_named_params([], gathered())


def test_a_lone_process_trains_on_one_of_many_gpus() -> None:
    args = SimpleNamespace(n_gpu=8, _n_gpu=8)
    assert on_one_gpu(args)._n_gpu == 1
    assert on_one_gpu(SimpleNamespace(n_gpu=0, _n_gpu=0))._n_gpu == 0


def test_a_server_that_ends_while_it_starts_is_told_with_its_last_words(tmp_path: Path) -> None:
    words = "import sys; print('no kernel for this card'); sys.exit(3)"
    process = ServerProcess([sys.executable, "-c", words], {}, free_port(), tmp_path / "server.log")
    with pytest.raises(WorkFailed, match=r"ended while it started \(no kernel for this card\).*server\.log"):
        process.wait(30)


@pytest.mark.slow
def test_ending_a_server_ends_what_ignores_it_and_its_workers(tmp_path: Path) -> None:
    process = ServerProcess([sys.executable, "-c", STUBBORN], {}, 1, tmp_path / "log", grace=1.0)
    pid = leader(tmp_path / "log")
    process.end()
    assert not session(pid)


@pytest.mark.slow
def test_a_server_does_not_outlive_a_run_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from ringlite_cli.train.engine.own_server import *\n"
        f"ServerProcess([sys.executable, '-c', {STUBBORN!r}], {{}}, 1, Path({str(tmp_path / 'log')!r}), grace=1.0)\n"
        "time.sleep(600)"
    )
    run = subprocess.Popen([sys.executable, "-c", code])
    try:
        pid = leader(tmp_path / "log")
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    wait_for(lambda: not session(pid), 20)


def leader(log: Path) -> int:
    """The leader of the stubborn session, once its worker lives too."""
    wait_for(lambda: log.is_file() and log.read_text().endswith("\n"), 30)
    pid = int(log.read_text())
    wait_for(lambda: len(session(pid)) == 2, 30)
    return pid


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Path]]:
    """vLLM's own server on this CPU, with a tiny model."""
    folder = tmp_path_factory.mktemp("served")
    policy = save_policy(folder / "policy", "llama", head_dim=32)
    port = free_port()
    alias = server_on_cpu.package_alias(folder / "alias")
    environment = {
        **server_on_cpu.SETTINGS,
        "PYTHONPATH": os.pathsep.join([str(alias), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(policy), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--max-model-len", "128"]
    process = ServerProcess(command, environment, port, folder / "server.log")
    process.wait(240)
    yield process, policy
    process.end()


@pytest.mark.slow
@with_vllm
def test_a_server_says_of_its_weights_what_the_trainer_says_of_its_own(served: tuple[ServerProcess, Path]) -> None:
    from ringlite_cli.train.engine.weight_check import server_log_probs

    process, policy = served
    probe = [[1, 2, 3, 4], [9, 8, 7, 6, 5, 4]]
    model = AutoModelForCausalLM.from_pretrained(policy).eval()
    theirs = server_log_probs(VLLMClient(base_url=process.url), probe)
    for ids, found in zip(probe, theirs, strict=True):
        logits = model(torch.tensor([ids])).logits[0, :-1]
        ours = logits.log_softmax(-1).gather(-1, torch.tensor(ids)[1:, None]).squeeze(-1)
        torch.testing.assert_close(found, ours.detach(), atol=1e-4, rtol=0)


@pytest.mark.slow
@with_vllm
def test_a_server_draws_for_eval_and_select_too(served: tuple[ServerProcess, Path]) -> None:
    """By the recipe's engine: tokens come back as ids, the policy's own tokenizer makes the same text of them, and a
    sample's seed is its own."""
    from ringlite_cli.recipe.engine import Engine
    from ringlite_cli.sampling.server import ServerSampler

    process, policy = served
    engine = Engine(name="server", url=f"{process.url}/v1", concurrency=4)
    sampler = ServerSampler(policy, settings=SamplingSettings(12, seed=3), engine=engine, dtype="float32")
    requests = [Request(f"p{i}", [{"role": "user", "content": f"w{i} w{i + 1}"}], 3) for i in range(4)]
    groups = sampler.sample(requests)
    assert [len(group) for group in groups] == [3] * 4
    for request, group in zip(requests, groups, strict=True):
        for sample in group:
            assert 0 < len(sample.token_ids) <= 12
            assert sample.prompt_tokens == len(sampler.prompt_ids(request))
            text = sampler.tokenizer.decode(sample.token_ids, skip_special_tokens=True)
            assert text.split() == sample.text.split()
    again = sampler.sample(requests)
    assert [[s.token_ids for s in group] for group in again] == [[s.token_ids for s in group] for group in groups]


@pytest.mark.slow
@with_vllm
def test_a_servers_workers_end_with_it(served: tuple[ServerProcess, Path]) -> None:
    process, _ = served
    leash = process._process.pid
    (server,) = [int(pid) for pid in Path(f"/proc/{leash}/task/{leash}/children").read_text().split()]
    assert len(session(server)) > 1  # the engine runs in processes of its own
    process.end()
    assert not session(server)


@pytest.mark.parametrize("architecture", ["llama", "qwen3_moe", "qwen2_moe", "olmoe", "ernie4_5_moe", "bailing_moe"])
def test_weights_go_to_the_engine_as_a_checkpoint_has_them(architecture: str, tmp_path: Path) -> None:
    register()
    policy = BAILING if architecture == "bailing_moe" else save_policy(tmp_path, architecture)
    model = AutoModelForCausalLM.from_pretrained(policy)
    sent = dict(published_weights(model, ((n, p.data) for n, p in model.named_parameters())))
    model.save_pretrained(tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert sent.keys() <= saved.keys()
    for name, tensor in sent.items():
        assert tensor.is_contiguous()
        assert torch.equal(tensor, saved[name]), name
    if "moe" in architecture:
        assert any(".experts.0." in name for name in sent)


def test_a_server_that_would_never_be_started_is_a_fault_of_the_recipe() -> None:
    own = "stages.rl-math.vllm_server.tensor_parallel_size=2"
    recipe = load_recipe("toy", [own])
    assert faults(recipe, "rl-math")[0].startswith("vllm_server: the run starts one with trl.vllm_mode: server")
    serving = [own, "stages.rl-math.trl.use_vllm=true", "stages.rl-math.trl.vllm_mode=server"]
    assert not faults(load_recipe("toy", serving), "rl-math")
