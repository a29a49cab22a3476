"""vLLM missing, too old and too new are faults that a user can mend, found before anything is loaded."""

import os
from pathlib import Path

import pytest

from ringlite_cli import engine
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.stages.parts.samplers import open_sampler, open_samplers


@pytest.mark.parametrize("version", ["0.22.0", "0.25.1+cu130", "0.31.4", "0.32.0"])
def test_versions_that_trl_drives(version: str) -> None:
    assert engine.fault_of(version) == ""


def test_what_pip_is_asked_for_is_what_is_accepted() -> None:
    assert engine.requirement() == "vllm>=0.22,<0.33"
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert "engine import requirement" in makefile
    assert "vllm>=" not in makefile


@pytest.mark.parametrize(
    ("version", "words"),
    [(None, "not installed"), ("0.21.9", "0.21.9 is too old"), ("0.33.0", "0.33.0 is too new"), ("1.0", "too new")],
)
def test_others_are_named_with_what_to_do(
    version: str | None, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    assert words in engine.fault_of(version)
    monkeypatch.setattr(engine, "vllm_version", lambda: version)
    with pytest.raises(UserError, match="make setup-vllm") as told:
        engine.check_vllm("engine.name", instead="set engine.name: transformers")
    assert words in str(told.value)
    assert told.value.exit_code == 2


@pytest.mark.parametrize(("at_once", "largest"), [(64, 128), (256, 512), (600, 600), (1024, 1024), (4096, 1024)])
def test_graphs_are_captured_for_no_smaller_batches_than_vllm_would(at_once: int, largest: int) -> None:
    assert engine.graph_settings(at_once) == {"max_cudagraph_capture_size": largest}


@pytest.mark.slow
def test_settings_of_the_user_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("VLLM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    engine.prepare_environment(cuda=False)
    assert os.environ["VLLM_CPU_KVCACHE_SPACE"] == "7"
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    for name in list(os.environ):
        if name.startswith("VLLM_"):
            monkeypatch.delenv(name)


@pytest.mark.slow
def test_the_stage_takes_the_engine_that_the_recipe_names(tmp_path) -> None:
    from policies import write_tiny_policy

    from ringlite_cli.samples import SamplingSettings
    from ringlite_cli.sampling.transformers_sampler import TransformersSampler

    policy, settings = write_tiny_policy(tmp_path), SamplingSettings(4)
    with open_samplers(Engine(name="transformers"), "float32") as make:
        assert isinstance(make(policy, settings), TransformersSampler)
    if engine.fault_of(engine.vllm_version()):
        with pytest.raises(UserError, match="make setup-vllm"):
            open_sampler(policy, settings, Engine(name="vllm"), "float32")
