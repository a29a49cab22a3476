"""RL on a GPU goes on with the run's vLLM engine, with its CUDA graphs, awake and in sleep mode."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from vllm_runs import on_a_gpu, with_vllm

pytestmark = [pytest.mark.slow, pytest.mark.gpu, on_a_gpu, with_vllm]
STAGES = ["rl-a", "rl-b", "eval"]
SETTINGS = (
    "model.dtype=bfloat16",
    "engine.max_num_seqs=16",
    "engine.gpu_memory_utilization=0.2",
    "stages.rl-a.policy=sft",
    "stages.eval.policies=[rl-a, rl-b]",
)


@dataclass(frozen=True)
class Seen:
    """What stages drew, RL in its first step; what run.log says of engines; how often one started; seconds of RL's."""

    drawn: dict[str, list[Any]]
    said: list[str]
    started: int
    seconds: dict[str, float]


def see(folder: Path, stages: list[str], settings: list[str]) -> Seen:
    """Run these stages of a run. To be called in a process of its own."""
    os.environ["VLLM_CACHE_ROOT"] = str(folder / "cache")
    from kept_engines import BEFORE, drawn, engines_counted, recipe_in, said_of_engines, walk

    from ringlite_cli.runs.files import read_jsonl

    recipe, run = recipe_in(folder, settings), folder / "run"
    if not run.exists():
        walk(recipe, run, BEFORE)
    with engines_counted() as engines:
        walk(recipe, run, stages)
    rl = [name for name in stages if name.startswith("rl")]
    return Seen(
        {name: drawn(run / name)[: 16 if name in rl else None] for name in stages},
        said_of_engines(run),
        len(engines.started),
        {name: read_jsonl(run / name / "metrics.jsonl")[0]["engine_start_seconds"] for name in rl},
    )


def apart(*asked: Any) -> Seen:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(see, *asked).result()


@pytest.mark.parametrize("asleep", [False, True], ids=["awake", "sleep mode"])
def test_rl_and_eval_go_on_with_an_engine_and_draw_what_fresh_ones_do(asleep: bool, tmp_path: Path) -> None:
    """Later steps of RL are not compared: their policies differ by the order in which a GPU adds gradients."""
    trl = {"vllm_gpu_memory_utilization": "0.2", "vllm_enable_sleep_mode": str(asleep).lower()}
    settings = [*SETTINGS, *(f"stages.{name}.trl.{key}={value}" for name in STAGES[:2] for key, value in trl.items())]
    kept = apart(tmp_path, STAGES, settings)
    print(*kept.said, kept.seconds, sep="\n")
    assert kept.started == 1, kept.said
    for name in ("eval", "rl-b"):  # the policies that they draw from stay
        alone = apart(tmp_path, [name], settings)
        print(*alone.said[-1:], alone.seconds, sep="\n")
        assert alone.started == 1
        assert alone.drawn[name] == kept.drawn[name]
