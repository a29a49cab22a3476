"""A run's own vLLM server is killed under two ranks that share a model out by FSDP2: it is started again, but once."""

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
pytestmark = [pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(1500), with_vllm]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Two runs by the same ranks, whose servers are killed: "once" in a rollout, "twice" in a sync and a rollout."""
    folder = tmp_path_factory.mktemp("server")
    policy = save_policy(folder / "policy", "llama", head_dim=32, tie_word_embeddings=False)
    killed = {"once": (3, [["rollout", 2]]), "twice": (4, [["sync", 2], ["rollout", 3]])}
    jobs = [
        {
            "out": str(folder / name),
            "policy": str(policy),
            "dies_at_sync": 0,
            "server_dies": kills,
            "options": {"steps": steps, "more": {"save_steps": 2}},
        }
        for name, (steps, kills) in killed.items()
    ]
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs))
    return folder, start(PROGRAM, str(file), config=folder / "fsdp2.yaml")


def assert_weights_followed(out: Path, servers: list[int]) -> None:
    """Servers said what the model in pieces says, after each sync. servers: which one was asked, from 1."""
    first, second = told(out)
    assert first["parameters"] == second["parameters"] == ["DTensor"]
    assert first["server"] == servers
    assert [theirs for theirs, _ in first["greedy"]] == [ours for _, ours in second["greedy"]]
    assert all(theirs == ours for theirs, ours in first["greedy"])


def test_a_server_that_is_killed_in_a_rollout_is_started_again_and_gets_the_weights_of_all_ranks(
    launched: tuple[Path, Any],
) -> None:
    folder, done = launched
    out = folder / "once"
    assert_weights_followed(out, [1, 1, 2, 2])
    said = [theirs for theirs, _ in told(out)[0]["greedy"]]
    assert said[1] == said[2], "the second server has other weights than the first one had"
    assert said[0] != said[1], "no sync could be seen: the policy says what it said"
    rows = read_jsonl(out / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3], done.stderr[-3000:]
    assert all(row["engine_drift"] < 1e-4 for row in rows)
    assert all(row["engine_mismatch"] < 1e-4 for row in rows)
    assert all("told" not in rank for rank in told(out))
    assert (out / "policy" / "model.safetensors").is_file()


def test_a_server_that_is_killed_again_ends_all_ranks_with_one_message(launched: tuple[Path, Any]) -> None:
    folder, done = launched
    out = folder / "twice"
    assert_weights_followed(out, [1, 2, 2])
    assert done.returncode != 0
    first, second = (rank["told"] for rank in told(out))
    assert first == second
    assert first.startswith("the vLLM engine failed again, after it was started anew (")
    assert "the same command goes on from the last checkpoint" in first
    assert [row["step"] for row in read_jsonl(out / "metrics.jsonl")] == [1, 2], done.stderr[-3000:]
    assert not (out / "policy").exists()
    found = last_checkpoint(out / "checkpoints")
    assert found is not None
    assert found[1] == 2
