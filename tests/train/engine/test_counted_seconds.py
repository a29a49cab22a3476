"""Seconds of generation are the engine's own: a sync that falls into them is counted as a sync alone."""

import time
from types import SimpleNamespace

import pytest
from trl.generation.vllm_generation import VLLMGeneration

from ringlite_cli.train.engine.watched import WatchedGeneration, _no_stats


def test_an_engine_that_slept_is_given_its_weights_outside_of_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second round of a step: TRL's generate syncs by itself, for the sleep has dropped the weights."""

    def generate(self, prompts, *args, **kwargs):
        self.sync_weights()
        time.sleep(0.1)
        return ("drawn",)

    monkeypatch.setattr(VLLMGeneration, "generate", generate)
    made = object.__new__(WatchedGeneration)
    made.mode, made.enable_sleep_mode = "colocate", True
    made.accelerator = SimpleNamespace(device=SimpleNamespace(type="cpu"), num_processes=1)
    made.watch, made.tensor_parallel_size, made._check_prompts = SimpleNamespace(timeout=60.0), 1, [[1, 2]]
    made.server, made.restarts = None, 0
    made._reload, made._stats = lambda: time.sleep(0.5), _no_stats()
    assert made.generate([[1, 2]]) == ("drawn",)
    stats = made.take_stats()
    assert 0.5 <= stats["sync_seconds"] < 2
    assert 0.1 <= stats["generation_seconds"] < 0.45
