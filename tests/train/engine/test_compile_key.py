"""What vLLM compiles for a policy is found again for the next: the cache's key does not tell their folders apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_lm import save_policy
from vllm_runs import with_vllm

pytestmark = [pytest.mark.slow, with_vllm]


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two policies of one shape and one of another."""
    root = tmp_path_factory.mktemp("policies")
    shapes: dict[str, dict[str, Any]] = {"first": {}, "second": {}, "wide": {"hidden_size": 64}}
    return {
        name: save_policy(root / name, "llama", head_dim=32, seed=seed, **fields)
        for seed, (name, fields) in enumerate(shapes.items())
    }


def key_of(model: str, **settings: Any) -> str:
    """The part of the key that tells of the settings, as vLLM computes it when an engine starts."""
    from vllm.engine.arg_utils import EngineArgs

    return str(EngineArgs(model=model, enforce_eager=True, **settings).create_engine_config().compute_hash())


def of_samplers(policy: Path) -> str:
    """The key of an engine for select, eval and curation."""
    from ringlite_cli.recipe.engine import Engine
    from ringlite_cli.sampling import vllm_engines
    from ringlite_cli.sampling.engine_key import EngineKey
    from ringlite_cli.sampling.load import load_config, load_tokenizer

    engine = Engine(name="vllm")
    key = EngineKey.of(policy, load_config(policy), load_tokenizer(policy), engine, "float32", 128, 0)
    return str(vllm_engines.start(key))


def of_rl(policy: Path) -> str:
    """The key of RL's engine beside the trainer."""
    from ringlite_cli.engine import prepare_environment
    from ringlite_cli.freeing import import_apart

    prepare_environment(cuda=False)
    return str(import_apart("ringlite_cli.train.engine.watched")._start(key_of, str(policy), max_model_len=128))


@pytest.mark.parametrize("key", [of_samplers, of_rl])
def test_policies_of_one_shape_share_what_is_compiled(
    policies: dict[str, Path], key: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm.entrypoints import llm

    monkeypatch.setattr(
        llm, "LLM", lambda model, **settings: key_of(model, max_model_len=settings["max_model_len"], dtype="float32")
    )
    found = {name: key(folder) for name, folder in policies.items()}
    assert found["first"] == found["second"] != found["wide"]
    plain = {name: key_of(str(folder), max_model_len=128) for name, folder in policies.items()}
    assert len(set(plain.values())) == 3, "vLLM's own keys are back"
