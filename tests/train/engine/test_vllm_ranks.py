"""RL through vLLM on two ranks that share a model out by FSDP2: every engine follows every sync, and a dead rank."""

import json
from pathlib import Path
from typing import Any

import pytest
from fsdp_on_cpu import ROOT, start, told
from tiny_lm import save_policy
from vllm_runs import with_vllm

from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.resume.checkpoints import last_checkpoint

PROGRAM = ROOT / "tests" / "engine_rank.py"
DECIDED = ("step", "loss", "grad_norm", "reward", "tokens_trained", "tokens_generated")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), with_vllm]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(tmp_path_factory.mktemp("dense"), "llama", head_dim=32)


def job(policy: Path, out: Path, dies_at_sync: int = 0, gpus: int = 1, **keys: Any) -> dict[str, Any]:
    """Four steps with a checkpoint after the second. gpus: of an engine. keys: of the recipe's section."""
    options = {"steps": 4, "more": {"save_steps": 2, "vllm_tensor_parallel_size": gpus}, **keys}
    return {"out": str(out), "policy": str(policy), "dies_at_sync": dies_at_sync, "options": options}


def launch(folder: Path, *jobs: dict[str, Any]) -> Any:
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs))
    return start(PROGRAM, str(file), config=folder / "fsdp2.yaml", VLLM_CPU_KVCACHE_SPACE="1")


def decided(out: Path) -> dict[str, Any]:
    rows = [{name: row[name] for name in DECIDED} for row in read_jsonl(out / "metrics.jsonl")]
    responses = [row["response"] for row in read_jsonl(out / "rollouts.jsonl")]
    return {"rows": rows, "responses": responses, "weights": (out / "policy" / "model.safetensors").read_bytes()}


def assert_engines_followed(out: Path, gpus: int) -> None:
    """Each rank's own engine, after each sync, says what the model in pieces says."""
    for rank in told(out):
        assert rank["parameters"] == ["DTensor"]
        assert rank["engine"] == ["vllm.entrypoints.llm", gpus]
        assert all(engine == trainer for engine, trainer in rank["greedy"])
    first, second = (rank["greedy"] for rank in told(out))
    assert first == second
    assert first[0] != first[-1], "no sync could be seen: the policy says what it said"
    assert all(row["engine_drift"] < 1e-5 for row in read_jsonl(out / "metrics.jsonl"))
    assert all(row["engine_mismatch"] < 1e-4 for row in read_jsonl(out / "metrics.jsonl"))


@pytest.fixture(scope="module")
def undisturbed(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    done = launch(folder, job(policy, folder / "out"))
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "out"


@pytest.fixture(scope="module")
def in_turn(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs by the same processes: "adapted" with an engine on each rank, then "shared" with one over both."""
    folder = tmp_path_factory.mktemp("in_turn")
    adapted, shared = job(policy, folder / "adapted", lora={"r": 4}), job(policy, folder / "shared", gpus=2)
    done = launch(folder, adapted, shared)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def test_an_engine_on_each_rank_follows_every_sync_and_the_policy_is_written(undisturbed: Path) -> None:
    assert [len(rank["greedy"]) for rank in told(undisturbed)] == [4, 4]
    assert_engines_followed(undisturbed, 1)
    assert [row["step"] for row in read_jsonl(undisturbed / "metrics.jsonl")] == [1, 2, 3, 4]
    assert all(row["sync_bytes"] > 0 for row in read_jsonl(undisturbed / "metrics.jsonl"))
    assert (undisturbed / "policy" / "model.safetensors").is_file()


@pytest.mark.full
def test_a_rank_that_dies_in_a_sync_ends_the_launch_and_the_next_one_goes_on(
    undisturbed: Path, policy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    died = launch(tmp_path, job(policy, out, dies_at_sync=4))
    assert died.returncode != 0
    assert [row["step"] for row in read_jsonl(out / "metrics.jsonl")] == [1, 2, 3], died.stderr[-3000:]
    assert died.stderr.count("told by rank") <= 1  # the launcher may end the other before it has seen
    assert not (out / "policy").exists()
    found = last_checkpoint(out / "checkpoints")
    assert found is not None
    assert found[1] == 2
    again = launch(tmp_path, job(policy, out))
    assert again.returncode == 0, again.stderr[-4000:]
    assert [len(rank["greedy"]) for rank in told(out)] == [2, 2]
    assert decided(out) == decided(undisturbed)


@pytest.mark.full
def test_an_engine_is_shared_by_two_ranks_after_one_that_was_not(in_turn: Path) -> None:
    """Tensor parallel: each rank holds half of every layer. The groups of the run before are forgotten."""
    assert_engines_followed(in_turn / "shared", 2)
    assert (in_turn / "shared" / "policy" / "model.safetensors").is_file()


@pytest.mark.full
def test_engines_have_the_adapter_of_a_model_in_pieces_merged_into_its_weights(in_turn: Path) -> None:
    assert_engines_followed(in_turn / "adapted", 1)
