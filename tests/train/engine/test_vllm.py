"""RL through vLLM on real tiny models: engine and trainer agree after every sync, and what goes wrong is told."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sweeps import sample_of
from tiny_lm import save_policy
from vllm_runs import session, train, wait_for, with_vllm

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.train.engine import checked_engine, watched
from ringlite_cli.train.engine import time_limit as vllm_watchdog
from ringlite_cli.train.engine.external_server import check_server, fits
from ringlite_cli.train.engine.start import phase_stats, tail_share
from ringlite_cli.train.engine.time_limit import EngineHung, time_limit

TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(tmp_path_factory.mktemp("dense"), "llama", head_dim=32)


@pytest.fixture(scope="module")
def verified(dense: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]], Counter[str]]:
    """A run with real verifiers: its folder, its rows, and how many answers got which verdict."""
    out = tmp_path_factory.mktemp("verified")
    with Verifiers(VerifierSettings(isolation="none")) as verifiers:
        rows = train(dense, out, verifier=verifiers)
        return out, rows, Counter(verifiers.counts())


@pytest.mark.slow
@with_vllm
def test_engine_and_trainer_agree_after_every_sync_and_the_phase_is_counted(verified) -> None:
    """A head tied to the embedding, in float32: the engine's packed copy has to follow the weights too."""
    _, rows, _ = verified
    assert [row["step"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert row["engine_drift"] < 1e-5
        assert row["engine_mismatch"] < 1e-4
        assert 0 < row["generation_seconds"] <= row["rollout_seconds"]
        assert row["generation_tokens_per_second"] >= row["rollout_tokens_per_second"] > 0
        assert 0 <= row["engine_idle_share"] < 1
        assert row["sync_seconds"] > 0


@pytest.mark.slow
@with_vllm
def test_an_engine_has_the_adapter_merged_into_its_weights(dense: Path, tmp_path: Path) -> None:
    rows = train(dense, tmp_path, lora={"r": 4})
    assert all(row["engine_drift"] < 1e-5 for row in rows)
    assert any(row["grad_norm"] > 0 for row in rows)


@pytest.mark.slow
@with_vllm
def test_responses_are_verified_while_others_are_written(verified) -> None:
    """Real verifiers start with the first response; each response of the step gets one verdict."""
    out, rows, counts = verified
    assert sum(counts[f"math/{verdict}"] for verdict in ("correct", "wrong", "unparsed")) == 3 * 16
    assert 0 < max(row["reward_overlap"] for row in rows) <= 1
    rollouts = [json.loads(line) for line in (out / "rollouts.jsonl").read_text().splitlines()]
    assert len(rollouts) == 3 * 16
    assert all(row["verdict"] in ("correct", "wrong", "unparsed") for row in rollouts)


@pytest.mark.slow
@with_vllm
def test_responses_that_were_long_before_are_begun_first(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 prompts, 4 a step: from the fifth step on each has a history of its own."""
    asked: list[list[tuple[int, ...]]] = []
    plain = checked_engine.run_requests

    def noted(engine: Any, requests: dict[str, Any]) -> Any:
        asked.append([tuple(prompt["prompt_token_ids"]) for prompt, _ in requests.values()])
        return plain(engine, requests)

    monkeypatch.setattr(checked_engine, "run_requests", noted)
    train(dense, tmp_path, steps=6, rollouts={"order": "longest"})
    rollouts = [json.loads(line) for line in (tmp_path / "rollouts.jsonl").read_text().splitlines()]
    steps = [[row for row in rollouts if row["step"] == step] for step in range(1, 7)]
    names, lengths = dict[tuple[int, ...], str](), dict[str, float]()
    for rows, prompts in zip(steps[:4], asked, strict=False):
        names |= {ids: row["prompt_id"] for ids, row in zip(prompts, rows, strict=True)}  # as drawn: nothing is known
        lengths |= {rows[i]["prompt_id"]: sum(row["tokens"] for row in rows[i : i + 4]) / 4 for i in range(0, 16, 4)}
    for rows, prompts in zip(steps[4:], asked[4:], strict=True):
        begun = [names[ids] for ids in prompts]
        assert sorted(begun) == sorted(row["prompt_id"] for row in rows)
        assert begun == sorted((row["prompt_id"] for row in rows), key=lambda name: -lengths[name])
    assert any([names[ids] for ids in asked[step]] != [row["prompt_id"] for row in steps[step]] for step in (4, 5))


@pytest.mark.slow
@with_vllm
def test_two_runs_on_a_machine_do_not_choose_the_same_port(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL takes the first of these that is free, seconds before the engine listens there."""

    def start(*_: Any, **__: Any) -> None:
        raise WorkFailed(os.environ["MASTER_PORT"])

    monkeypatch.setattr(watched, "_start", start)
    with pytest.raises(WorkFailed) as told:
        train(dense, tmp_path, steps=1)
    assert int(str(told.value)) not in (29500, 23456, 12355, 12345)


@pytest.mark.slow
@with_vllm
def test_an_engine_that_has_ended_leaves_its_pool_of_graphs_to_none(dense: Path, tmp_path: Path) -> None:
    """On a GPU the pool is refused once the graphs in it are gone: the next stage's engine could not start."""
    from vllm.platforms import current_platform

    type(current_platform)._global_graph_pool = object()
    train(dense, tmp_path / "run", steps=1)
    assert type(current_platform)._global_graph_pool is None


@with_vllm
def test_a_mixture_that_a_cpu_cannot_sync_stops_the_run(tmp_path: Path) -> None:
    """An engine that has just read a mixture is right (test_vllm_sampler.py); a sync spoils it without an error."""
    mixture = save_policy(tmp_path / "mixture", "qwen2_moe", hidden_size=128)
    with pytest.raises(WorkFailed, match="samples from other weights"):
        train(mixture, tmp_path / "run", sync_tolerance=0.01)
    assert not (tmp_path / "run" / "policy").exists()


@pytest.mark.slow
@with_vllm
def test_words_that_end_a_response_are_seen(dense: Path, tmp_path: Path) -> None:
    """A rollout's tokens become text only where the engine looks for words in it."""
    train(dense, tmp_path, steps=1, generation_kwargs={"stop": ["w1", "w2", "w3"]})
    rollouts = [json.loads(line) for line in (tmp_path / "rollouts.jsonl").read_text().splitlines()]
    responses = [row["response"].split() for row in rollouts]
    assert sum(len(words) < 16 for words in responses) > 8
    assert not any(word[:2] in ("w1", "w2", "w3") for words in responses for word in words[:-1])


def fail(*_: Any, **__: Any) -> None:
    raise RuntimeError("planted: the engine's core died")


def hang(*_: Any, **__: Any) -> None:
    while True:
        time.sleep(0.01)


@pytest.mark.slow
@with_vllm
@pytest.mark.parametrize(
    ("fault", "times", "ends"),
    [
        pytest.param(fail, 1, False, id="one-crash", marks=pytest.mark.full),
        pytest.param(fail, 2, True, id="two-crashes"),
        pytest.param(hang, 1, False, id="one-hang"),
    ],
)
def test_an_engine_that_fails_in_mid_step_is_started_again_once(
    dense: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[..., None],
    times: int,
    ends: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from vllm.v1.engine.llm_engine import LLMEngine

    plain, calls, planted = LLMEngine.step, 0, 0

    def step(engine: Any) -> Any:
        nonlocal calls, planted
        calls += 1
        if calls > 5 and planted < times:
            planted += 1
            return fault()
        return plain(engine)

    monkeypatch.setattr(LLMEngine, "step", step)
    if ends:
        with pytest.raises(WorkFailed, match="failed again, after it was started anew"):
            train(dense, tmp_path)
        return
    rows = train(dense, tmp_path, engine_timeout=10.0)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["engine_drift"] < 1e-5 for row in rows)
    assert planted == 1
    assert "it is started again" in caplog.text


@pytest.mark.slow
@with_vllm
@pytest.mark.parametrize("number", sample_of([signal.SIGKILL, signal.SIGINT], signal.SIGKILL))
def test_a_run_that_is_ended_leaves_no_process(dense: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The run leads a session of its own; whatever it has started is in it."""
    code = f"from vllm_runs import *; train(Path({str(dense)!r}), Path({str(tmp_path)!r}), steps=100000)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    run = subprocess.Popen([sys.executable, "-c", code], env=env, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        rows = tmp_path / "metrics.jsonl"
        wait_for(lambda: rows.is_file() and rows.stat().st_size > 0, 120)
        run.send_signal(number)
        run.wait(60)
        wait_for(lambda: not session(run.pid), 5)
    finally:
        if session(run.pid):
            os.killpg(run.pid, signal.SIGKILL)


def test_rl_without_vllm_says_how_to_get_it(dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringlite_cli.engine.vllm_version", lambda: "0.11.0")
    with pytest.raises(UserError, match=r"trl\.use_vllm: vLLM 0\.11\.0 is too old .*make setup-vllm"):
        train(dense, tmp_path)


def test_a_server_that_is_not_there_is_told_with_the_command_that_starts_it(dense: Path) -> None:
    with socket.socket() as taken:  # a port that nobody listens on
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        args = SimpleNamespace(vllm_server_base_url=url, vllm_server_timeout=0.1)
        with pytest.raises(UserError, match=f"no vLLM server answers there.*vllm serve {dense}"):
            check_server(args, dense)


def test_a_server_fits_with_the_policy_itself_or_a_model_of_its_shape(dense: Path, tmp_path: Path) -> None:
    alike = save_policy(tmp_path / "alike", "llama", head_dim=32, seed=1)
    deeper = save_policy(tmp_path / "deeper", "llama", head_dim=32, num_hidden_layers=3)
    assert fits({"id": "policy", "root": str(dense)}, dense)
    assert fits({"id": str(alike), "root": None}, dense)
    assert not fits({"id": "policy", "root": str(deeper)}, dense)
    assert not fits({"id": "Qwen/Qwen3-1.7B", "root": "Qwen/Qwen3-1.7B"}, dense)


def test_a_call_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with time_limit(5):
        pass
    with pytest.raises(EngineHung), time_limit(0.1):
        hang()
    assert vllm_watchdog.GRACE > 1


def test_the_share_of_the_longest_responses() -> None:
    """100 responses: 95 of 10 tokens end after 10 of 40 steps, so the longest 5 % run alone for 30."""
    assert tail_share([10] * 95 + [20, 20, 20, 20, 40]) == 0.75
    assert tail_share([7] * 16) == 0.0
    assert tail_share([0, 0]) == 0.0


def test_a_step_without_a_rollout_has_no_phase() -> None:
    assert phase_stats(object(), {"rollout_seconds": 0.0, "tokens_generated": 0}, 1.0) == {}
    assert phase_stats(object(), {"rollout_seconds": 2.0, "tokens_generated": 100}, 3.0) == {
        "rollout_tokens_per_second": 50.0
    }
