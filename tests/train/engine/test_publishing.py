"""What a user is told where an engine does not take weights."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_lm import tiny_model

from ringlite_cli.errors import WorkFailed
from ringlite_cli.train.engine import publishing


def test_an_engine_on_a_cpu_that_refuses_weights_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's experts, spread over two ranks of a CPU, do so."""
    given: list[Path] = []

    def refuse(engine: Any, folder: Any) -> None:
        given.append(Path(folder))
        raise RuntimeError("The size of tensor a (64) must match the size of tensor b (16)")

    monkeypatch.setattr(publishing, "reload_on_cpu", refuse)
    made = object.__new__(publishing.PublishingGeneration)
    made.accelerator = SimpleNamespace(unwrap_model=lambda model: model)
    made._dist, made.model, made.llm, made._stats = SimpleNamespace(is_fsdp=False), tiny_model("llama"), None, {}
    with pytest.raises(WorkFailed, match=r"does not take the trainer's weights \(The size.*use_vllm: false"):
        made._reload()
    assert not given[0].exists()
