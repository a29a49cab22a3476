"""Mode carry through a colocated vLLM: what it writes is what the pool has, and a stopped or broken run loses none."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tiny_lm import save_policy
from vllm_runs import train, with_vllm

from ringlite_cli.errors import Interrupted
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.runs.files import read_jsonl

CARRY = {"rollouts": {"mode": "carry", "in_flight": 10}, "mismatch": {"rule": "icepop"}}


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(tmp_path_factory.mktemp("dense"), "llama", head_dim=32)


def decided(out: Path) -> dict[str, Any]:
    """What a run decided: weights, rollouts, and the numbers of its steps that are no times."""
    kept = ("step", "loss", "grad_norm", "reward", "tokens_trained", "tokens_carried_out", "groups_by_retention")
    kept += ("engine_mismatch", "mismatch_by_age", "tokens_by_age")
    rows = [{name: row[name] for name in kept} for row in read_jsonl(out / "metrics.jsonl")]
    weights = (out / "policy" / "model.safetensors").read_bytes()
    return {"rows": rows, "rollouts": read_jsonl(out / "rollouts.jsonl"), "weights": weights}


@pytest.mark.slow
@with_vllm
def test_a_stopped_run_with_responses_in_flight_ends_as_an_undisturbed_one(dense: Path, tmp_path: Path) -> None:
    """On a CPU, where each response has random numbers of its own, to the bit."""
    rows = train(dense, tmp_path / "whole", steps=4, **CARRY)
    assert any(row["tokens_carried_in"] for row in rows)
    assert any(age != "0" for row in rows for age in row["tokens_by_age"])
    for row in rows:
        assert row["engine_drift"] < 1e-5
        assert row["mismatch_by_age"].get("0", {"p99": 0.0})["p99"] < 1e-4

    def stop(row: dict[str, Any]) -> None:
        if row["step"] == 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(Interrupted):
        train(dense, tmp_path / "stopped", steps=4, on_step=stop, **CARRY)
    train(dense, tmp_path / "stopped", steps=4, **CARRY)
    assert decided(tmp_path / "stopped") == decided(tmp_path / "whole")


@pytest.mark.slow
@with_vllm
def test_an_engine_that_dies_with_carried_responses_is_started_again_and_goes_on(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from vllm.v1.engine.llm_engine import LLMEngine

    plain, calls = LLMEngine.step, 0

    def step(engine: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 40:
            raise RuntimeError("planted: the engine's core died")
        return plain(engine)

    monkeypatch.setattr(LLMEngine, "step", step)
    rows = train(dense, tmp_path, steps=4, **CARRY)
    assert "it is started again" in caplog.text
    assert [row["tokens_trained"] for row in rows] == [64] * 4
    assert all(row["engine_drift"] < 1e-5 for row in rows)


@pytest.mark.slow
@with_vllm
def test_responses_of_carried_groups_are_verified_once_while_others_are_written(dense: Path, tmp_path: Path) -> None:
    with Verifiers(VerifierSettings(isolation="none")) as verifiers:
        rows = train(dense, tmp_path, steps=3, verifier=verifiers, **CARRY)
        asked = sum(verifiers.counts().get(f"math/{v}", 0) for v in ("correct", "wrong", "unparsed"))
    rollouts = read_jsonl(tmp_path / "rollouts.jsonl")
    assert asked >= len(rollouts)
    assert all(row["verdict"] in ("correct", "wrong", "unparsed") for row in rollouts)
    assert max(row["reward_overlap"] for row in rows) > 0


@pytest.mark.slow
@with_vllm
def test_number_formats_reach_the_engine(dense: Path, tmp_path: Path) -> None:
    """The trainer computes in float32; what the engine rounds is all that differs, and the head is a part of it."""
    keys: dict[str, Any] = {"steps": 1, "sync_tolerance": 1.0, "vllm_dtype": "bfloat16"}
    (half,) = train(dense, tmp_path / "half", **keys)
    (head,) = train(dense, tmp_path / "head", **keys, vllm_head_dtype="float32")
    (exact,) = train(dense, tmp_path / "exact", steps=1, vllm_dtype="float32")
    assert exact["engine_drift"] < 1e-5
    assert min(half["engine_drift"], head["engine_drift"]) > 1e-4
    assert head["engine_drift"] != half["engine_drift"]


@pytest.mark.parametrize("key", [{"vllm_dtype": "float16"}, {"vllm_head_dtype": "float32"}])
def test_number_formats_of_an_engine_that_the_run_does_not_start_are_refused(key: dict[str, str]) -> None:
    elsewhere = {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": "http://localhost:1"}
    for trl in ({}, elsewhere):
        faults = RlSettings.made(**key, trl={"max_steps": 1, **trl}).faults()
        assert any(f"{next(iter(key))}: the run starts no vllm" in fault for fault in faults)
    assert not any("vllm_" in f for f in RlSettings.made(**key, trl={"max_steps": 1, "use_vllm": True}).faults())
