"""A run's own vLLM server is killed in mid-run: another is started, gets the trainer's weights, and the run goes on."""

from pathlib import Path
from typing import Any

import pytest
import server_on_cpu
from tiny_lm import save_policy
from vllm_runs import greedy_of_server, greedy_of_trainer, train, with_vllm

from ringlite_cli.train.engine.watched import WatchedGeneration


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.timeout(900)
@with_vllm
def test_a_killed_server_is_started_again_with_the_trainers_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    policy = save_policy(tmp_path / "policy", "llama", head_dim=32, tie_word_embeddings=False)
    started = server_on_cpu.allow(monkeypatch, tmp_path / "alias", policy)
    check, said = WatchedGeneration._check_weights, []

    def checked(self: Any, llm: Any) -> None:
        due = self._check_due
        check(self, llm)
        if due:
            said.append((self.server, greedy_of_server(self.vllm_client), greedy_of_trainer(self.model)))

    def kill_the_first(row: dict[str, Any]) -> None:
        if row["step"] == 2:
            server_on_cpu.kill(started[0])

    monkeypatch.setattr(WatchedGeneration, "_check_weights", checked)
    rows = train(policy, tmp_path / "run", steps=4, on_step=kill_the_first, **server_on_cpu.OPTIONS)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert "it is started again" in caplog.text
    assert [server for server, _, _ in said] == [started[0], started[0], started[1], started[1]]
    assert all(theirs == ours for _, theirs, ours in said)
    assert said[0][1] != said[-1][1]
    assert all(row["engine_drift"] < 1e-4 for row in rows)
    assert len(started) == 2
    assert all(process._process.poll() is not None for process in started)
