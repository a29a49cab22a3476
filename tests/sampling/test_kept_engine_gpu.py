"""A vLLM engine on a GPU, with its CUDA graphs, that takes another policy's weights."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from tiny_lm import save_policy
from vllm_runs import on_a_gpu, with_vllm

from ringlite_cli.recipe.engine import Engine
from ringlite_cli.samples import Request, SamplingSettings

pytestmark = [pytest.mark.slow, pytest.mark.gpu, on_a_gpu, with_vllm]

Tokens = list[list[tuple[int, ...]]]


def draw(policies: list[Path], temperature: float, cache: Path) -> tuple[list[Tokens], int, int]:
    """What an engine draws from each policy, one after the other; how often one was started, and kept.

    cache: where vLLM keeps what it compiles. To be called in a process of its own.
    """
    os.environ["VLLM_CACHE_ROOT"] = str(cache)
    from ringlite_cli.sampling import vllm_engines
    from ringlite_cli.sampling.vllm_sampler import VllmSampler

    engine = Engine(name="vllm", max_model_length=128, max_num_seqs=32, gpu_memory_utilization=0.2)
    settings = SamplingSettings(max_completion_length=24, temperature=temperature, seed=3)
    asked = [Request(f"p{i}", [{"role": "user", "content": f"w{i} w{i + 7} w3"}], 4) for i in range(6)]
    drawn = []
    with vllm_engines.Engines() as engines:
        for policy in policies:
            sampler = VllmSampler(policy, settings=settings, engine=engine, engines=engines, dtype="bfloat16")
            drawn.append([[sample.token_ids for sample in group] for group in sampler.sample(asked)])
            sampler.close()
        return drawn, engines.started, engines.kept


def apart(policies: list[Path], temperature: float, cache: Path) -> tuple[list[Tokens], int, int]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(draw, policies, temperature, cache).result()


@pytest.mark.parametrize("temperature", [0.0, 1.0], ids=["greedy", "sampled"])
def test_a_kept_engine_draws_what_a_fresh_one_does(temperature: float, tmp_path: Path) -> None:
    """Each engine in a process of its own: with torch 2.11 a second one fails while it captures CUDA graphs."""
    first, second = (save_policy(tmp_path / str(seed), "llama", head_dim=32, seed=seed) for seed in (0, 1))

    kept, started, times = apart([first, second, first], temperature, tmp_path / "cache")
    assert (started, times) == (1, 2)
    (of_first,) = apart([first], temperature, tmp_path / "cache")[0]
    (of_second,) = apart([second], temperature, tmp_path / "cache")[0]
    assert of_first != of_second
    assert kept == [of_first, of_second, of_first]


def test_code_that_was_compiled_for_another_policy_draws_the_same(tmp_path: Path) -> None:
    first, second = (save_policy(tmp_path / str(seed), "llama", head_dim=32, seed=seed) for seed in (0, 1))
    apart([first], 1.0, tmp_path / "shared")
    compiled = _compiled(tmp_path / "shared")
    assert compiled, "else nothing is shown"
    after_the_other = apart([second], 1.0, tmp_path / "shared")[0]
    assert _compiled(tmp_path / "shared") == compiled
    assert after_the_other == apart([second], 1.0, tmp_path / "own")[0]


def _compiled(cache: Path) -> set[Path]:
    """The folders that vLLM has made, one for each key."""
    found = (path for pattern in ("*", "torch_aot_compile/*") for path in (cache / "torch_compile_cache").glob(pattern))
    return {path for path in found if path.is_dir()}


def test_weights_that_were_not_loaded_are_seen(tmp_path: Path) -> None:
    policies = [save_policy(tmp_path / str(seed), "llama", head_dim=32, seed=seed) for seed in (0, 1)]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        why = process.submit(_why_refused, policies).result()
    assert why.startswith("it does not hold the folder's weights (")
    assert "differs from the engine's" in why


def _why_refused(policies: list[Path]) -> str:
    from ringlite_cli.sampling import vllm_engines
    from ringlite_cli.sampling.engine_key import EngineKey
    from ringlite_cli.sampling.load import load_config, load_tokenizer

    engine = Engine(name="vllm", max_num_seqs=32, gpu_memory_utilization=0.2)
    first, second = (
        EngineKey.of(policy, load_config(policy), load_tokenizer(policy), engine, "bfloat16", 128, 0)
        for policy in policies
    )
    with vllm_engines.Engines() as engines:
        llm = engines.borrow(first)
        vllm_engines.load_weights = lambda llm, folder: None
        return vllm_engines._take(llm, second)
