"""A run that was killed, stopped or damaged goes on to the same weights, rows and decisions, and says what it lost."""

import logging
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rl_runs import train
from tiny_lm import save_policy
from transformers import TrainerState

from ringlite_cli.errors import Interrupted, UserError, WorkFailed
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.runs.catalogue import timed
from ringlite_cli.runs.deadline import stop_within
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.resume.checkpoints import SEAL, drop_old, last_checkpoint, seal
from ringlite_cli.train.resume.keeper import Keeper

PROBLEMS = [
    Problem(id=f"p{i}", domain="math" if i % 3 else "code", prompt=f"w{i} w{i + 1}", labels={"pass_rate": i % 10 / 10})
    for i in range(30)
]
TIMES = timed("rl")
EVERYTHING = {
    "sampling": "difficulty",
    "undershoot": "refill",
    "budget_schedule": "adaptive",
    "token_budget_end": 120,
    "updates_per_rollout": 2,
    "domain_mix": {"math": 0.5, "code": 0.5},
}


def verify(pairs):
    return [Verdict(*(("correct", 1.0) if text.count("w1") % 2 else ("wrong", 0.0))) for _, text in pairs]


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "ernie4_5_moe")


def rl(policy, out, verifier=verify, steps=4, **options):
    trl = {"num_generations": 4, "max_completion_length": 12, "learning_rate": 2e-3, "save_steps": 1, "beta": 0.01}
    numbers = {"prompts_per_step": 4, "token_budget": 60, "row_tokens": 32, "prompt_suffix": {}}
    return train(policy, PROBLEMS, verifier, out, steps=steps, trl=trl | options.pop("trl", {}), **numbers | options)


def left_by(out: Path) -> dict:
    """All that a run decided: weights, metrics without times, rollouts."""
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in read_jsonl(out / "metrics.jsonl")]
    weights = (out / "policy" / "model.safetensors").read_bytes()
    return {"weights": weights, "metrics": rows, "rollouts": read_jsonl(out / "rollouts.jsonl")}


@pytest.fixture(scope="module")
def whole(policy, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    rl(policy, out, **EVERYTHING)
    return left_by(out)


@pytest.mark.slow
@pytest.mark.parametrize("stopped_at", [2, 3])
def test_a_stop_at_any_step_with_everything_that_has_a_state_goes_on_to_the_same_run(
    policy, tmp_path, whole, stopped_at
):
    """Step 3 falls between the two updates of a rollout: the second one is in the checkpoint."""

    def stop(row):
        if row["step"] == stopped_at - 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(Interrupted, match=f"stopped after step {stopped_at} of 4"):
        rl(policy, tmp_path, on_step=stop, trl={"save_steps": 100}, **EVERYTHING)
    rl(policy, tmp_path, trl={"save_steps": 100}, **EVERYTHING)
    assert left_by(tmp_path) == whole


@pytest.mark.slow
@pytest.mark.parametrize("row_tokens", [16, 400])
def test_a_resume_between_two_updates_with_rows_of_another_length_trains_every_token(
    policy, tmp_path, whole, row_tokens
):
    """Longer rows left tokens out without a word, and shorter ones ended in an IndexError."""

    signals = [signal.SIGUSR1]

    def stops(pairs):
        for number in signals:
            os.kill(os.getpid(), number)
        signals.clear()
        return verify(pairs)

    with pytest.raises(Interrupted, match="stopped after step 1 of 2"):
        rl(policy, tmp_path, stops, steps=2, **EVERYTHING)
    before = sum(row["tokens_kept"] for row in read_jsonl(tmp_path / "rollouts.jsonl") if row["step"] == 2)
    rl(policy, tmp_path, steps=2, row_tokens=row_tokens, **EVERYTHING)
    row, as_planned = read_jsonl(tmp_path / "metrics.jsonl")[1], whole["metrics"][1]
    assert row["tokens_trained"] == before == as_planned["tokens_trained"]
    for name in ("loss", "grad_norm", "entropy", "kl"):
        assert row[name] == pytest.approx(as_planned[name], rel=1e-3), name
    assert row["row_fill"] != as_planned["row_fill"]


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_and_says_so(policy, tmp_path, whole, caplog):
    rl(policy, tmp_path, **EVERYTHING)
    checkpoints = tmp_path / "checkpoints"
    assert sorted(path.name for path in checkpoints.glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-4"]
    weights = checkpoints / "checkpoint-4" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    shutil.rmtree(tmp_path / "policy")
    with caplog.at_level(logging.WARNING):
        rl(policy, tmp_path, **EVERYTHING)
    assert "the checkpoint of step 4 is left out: model.safetensors is not what was saved" in caplog.text
    assert left_by(tmp_path) == whole


def test_a_checkpoint_without_its_seal_does_not_count(tmp_path):
    for step in (5, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_bytes(b"x" * 10)
        seal(folder)
    assert last_checkpoint(tmp_path) == (tmp_path / "checkpoint-10", 10)
    (tmp_path / "checkpoint-10" / SEAL).unlink()
    assert last_checkpoint(tmp_path) == (tmp_path / "checkpoint-5", 5)
    (tmp_path / "checkpoint-5" / "weights").unlink()
    assert last_checkpoint(tmp_path) is None


@pytest.mark.slow
def test_another_number_of_ranks_is_refused(policy, tmp_path):
    rl(policy, tmp_path, steps=2)
    newest, _ = last_checkpoint(tmp_path / "checkpoints")
    seal(newest, ranks=2)
    rows = read_jsonl(tmp_path / "metrics.jsonl")
    with pytest.raises(
        UserError, match=r"saved by 2 ranks; training can.t resume from it on 1; launch it on 2, or .*--fresh"
    ):
        rl(policy, tmp_path, steps=4)
    assert read_jsonl(tmp_path / "metrics.jsonl") == rows
    seal(newest, ranks=1)
    rl(policy, tmp_path, steps=4)


def test_a_clock_that_jumps_back_does_not_cost_the_newest_checkpoint(tmp_path):
    """transformers drops by time of change: after a jump back, that is the checkpoint it has just written."""
    for step in (9, 10, 100):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        seal(folder)
        os.utime(folder, (2e9 - step * 1e6, 2e9 - step * 1e6))
    drop_old(tmp_path, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-10", "checkpoint-100"}


@pytest.mark.slow
def test_a_run_past_its_end_is_refused_and_not_silently_called_done(policy, tmp_path):
    rl(policy, tmp_path)
    with pytest.raises(UserError, match=r"at step 4 already, and 2 are asked for: nothing would be trained.*--fresh"):
        rl(policy, tmp_path, steps=2)
    assert len(read_jsonl(tmp_path / "metrics.jsonl")) == 4


def test_a_training_that_ends_early_without_a_stop_is_no_success():
    keeper = Keeper(SimpleNamespace(args=SimpleNamespace(save_total_limit=None)))
    keeper.on_train_begin(None, TrainerState(global_step=0), None)
    keeper.raise_if_idle(TrainerState(global_step=4), 4)
    with pytest.raises(WorkFailed, match="the training ended after step 3 of 4, 3 of them in this run"):
        keeper.raise_if_idle(TrainerState(global_step=3), 4)


@pytest.mark.slow
def test_max_hours_stops_saved_while_there_is_time(policy, tmp_path):
    def slow(pairs):
        time.sleep(0.3)
        return verify(pairs)

    with stop_within(6 / 3600), pytest.raises(Interrupted, match="of 1000; the same command goes on"):
        rl(policy, tmp_path, slow, steps=1000, trl={"save_steps": 1000})
    steps = len(read_jsonl(tmp_path / "metrics.jsonl"))
    assert last_checkpoint(tmp_path / "checkpoints")[1] == steps <= 6 / 0.3
