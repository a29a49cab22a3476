"""RL through vLLM where weights are synced on GPUs: mixtures in this process, and a server on a GPU of its own."""

import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import server_on_cpu
import torch
from tiny_lm import save_policy, tiny_tokenizer
from trl.generation.vllm_client import VLLMClient
from vllm_runs import on_a_gpu, train, with_vllm

from ringlite_cli.train.engine import start as vllm_start

GOLDEN = Path(__file__).parents[2] / "models" / "golden" / "ling_like"
GPUS = torch.cuda.device_count()
pytestmark = [pytest.mark.slow, pytest.mark.gpu]
on_two = pytest.mark.skipif(GPUS < 2, reason="needs two CUDA devices")
DRIFT = {"bailing_moe": 0.1}
"""Nats per token that bfloat16 may make, 0.05 unless named; other weights make tenths after a step of this size. The
golden mixture's weights are large: rounding alone makes 0.06 to 0.07 on a CPU too, where float32 makes 1e-6."""


@on_a_gpu
@with_vllm
@pytest.mark.parametrize("architecture", ["llama", "qwen2_moe", "qwen3_moe", "ernie4_5_moe", "bailing_moe"])
def test_the_engine_follows_every_sync(architecture: str, tmp_path: Path) -> None:
    """In a process of its own: with torch 2.11 a second engine in one process fails while it captures CUDA graphs."""
    policy, limit = _policy(architecture, tmp_path / "policy"), DRIFT.get(architecture, 0.05)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        rows = process.submit(train, policy, tmp_path / "run", sync_tolerance=limit).result()
    print(architecture, [row["engine_drift"] for row in rows])
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["sync_seconds"] > 0 for row in rows)


def _train_and_draw(policy: Path, out: Path) -> tuple[int, int]:
    """Steps of two stages of RL, each with an engine of its own, and the responses of a third engine after them."""
    from ringlite_cli.recipe.engine import Engine
    from ringlite_cli.samples import Request, SamplingSettings
    from ringlite_cli.sampling.vllm_engines import Engines
    from ringlite_cli.sampling.vllm_sampler import VllmSampler

    share = {"vllm_gpu_memory_utilization": 0.2}
    steps = sum(len(train(policy, out / name, sync_tolerance=0.05, more=share)) for name in ("first", "second"))
    engine = Engine(name="vllm", max_model_length=128, max_num_seqs=8, gpu_memory_utilization=0.2)
    settings = SamplingSettings(max_completion_length=16)
    with Engines() as engines:
        sampler = VllmSampler(policy, settings=settings, engine=engine, engines=engines, dtype="bfloat16")
        drawn = list(sampler.sample([Request("p", [{"role": "user", "content": "w1 w2"}], 4)]))
        sampler.close()
    return steps, sum(map(len, drawn))


@on_a_gpu
@with_vllm
def test_stages_after_each_other_have_engines_with_graphs_in_one_process(tmp_path: Path) -> None:
    """torch 2.11 refused the pool of the first engine's graphs: no stage after RL could start an engine."""
    policy = _policy("llama", tmp_path / "policy")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        assert process.submit(_train_and_draw, policy, tmp_path).result() == (6, 4)


@on_two
@with_vllm
@pytest.mark.parametrize("dies", ["between steps", "in a sync"])
def test_the_runs_own_server_follows_every_sync_and_is_started_again_once(
    dies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    plain, broadcast = vllm_start.serve, VLLMClient.update_named_params
    syncs: list[int] = []

    def serve(*args: Any) -> Any:
        started.append(plain(*args))
        return started[-1]

    def kill_the_first(row: dict[str, Any]) -> None:
        if row["step"] == 2 and dies == "between steps":
            server_on_cpu.kill(started[0])

    def update_named_params(client: Any, metadata: Any, weights: Any) -> None:
        """The server, which waits for the weights by then, is killed as the first one is packed."""
        syncs.append(len(started))
        if len(syncs) == 3 and dies == "in a sync":
            weights = killing(weights)
        broadcast(client, metadata, weights)

    def killing(weights: Any) -> Any:
        time.sleep(2)
        server_on_cpu.kill(started[0])
        yield from weights

    monkeypatch.setattr(VLLMClient, "update_named_params", update_named_params)
    monkeypatch.setattr(vllm_start, "serve", serve)
    rows = train(
        _policy("llama", tmp_path / "policy"),
        tmp_path / "run",
        steps=4,
        mode="server",
        sync_tolerance=0.05,
        on_step=kill_the_first,
        vllm_server={"enforce_eager": True, "gpu_memory_utilization": 0.2},  # others may use the GPU
    )
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert len(started) == 2
    assert syncs == [1, 1, 1, 2, 2], "the third one was made again"
    assert all(process._process.poll() is not None for process in started)


CARRY = {"rollouts": {"mode": "carry", "in_flight": 10}, "sync_tolerance": 0.05}


@on_a_gpu
@with_vllm
@pytest.mark.parametrize("asleep", [False, True], ids=["awake", "sleep mode"])
def test_responses_are_carried_over_a_sync_and_a_sleep(asleep: bool, tmp_path: Path) -> None:
    policy, more = _policy("llama", tmp_path / "policy"), {"vllm_enable_sleep_mode": asleep}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        rows = process.submit(train, policy, tmp_path / "run", steps=4, more=more, **CARRY).result()
    assert [row["tokens_trained"] for row in rows] == [64] * 4
    assert any(age != "0" for row in rows for age in row["tokens_by_age"])
    assert any(row["tokens_carried_in"] for row in rows)


@on_two
@with_vllm
@pytest.mark.parametrize("ahead", [0, 1])
def test_a_server_s_responses_are_carried_over_and_drawn_ahead(ahead: int, tmp_path: Path) -> None:
    keys = CARRY | {"rollouts": {"mode": "carry", "in_flight": 10, "ahead": ahead}}
    rows = train(_policy("llama", tmp_path / "policy"), tmp_path / "run", steps=4, mode="server", **keys)
    assert [row["tokens_trained"] for row in rows] == [64] * 4
    assert any(row["tokens_carried_in"] for row in rows)
    assert all(age != "0" for row in rows[1:] for age in row["tokens_by_age"]) or not ahead


@on_two
@with_vllm
def test_a_server_draws_whole_rollouts_ahead(tmp_path: Path) -> None:
    keys = {"rollouts": {"ahead": 1}, "sync_tolerance": 0.05}
    rows = train(_policy("llama", tmp_path / "policy"), tmp_path / "run", steps=4, mode="server", **keys)
    assert [set(row["tokens_by_age"]) for row in rows] == [{"0"}, {"1"}, {"1"}, {"1"}]


def _policy(architecture: str, folder: Path) -> Path:
    """With heads of 32, which the kernels of GPUs take."""
    if architecture == "bailing_moe":
        folder.mkdir()
        for name in ("config.json", "model.safetensors"):  # the values beside them are no weights
            shutil.copy(GOLDEN / name, folder)
        tiny_tokenizer().save_pretrained(folder)
        return folder
    heads = {"head_dim": 32} if architecture in ("llama", "qwen3_moe") else {}
    return save_policy(folder, architecture, hidden_size=128, **heads)
