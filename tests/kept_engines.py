"""Runs whose stages may share a vLLM engine, for the tests of that."""

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakSet

from rl_runs import weights

from ringlite_cli.console import Console
from ringlite_cli.engine import prepare_environment
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.runs.rollouts import read_rollouts
from ringlite_cli.stages.walk.decide import Walk
from ringlite_cli.stages.walk.pipeline import run_pipeline

HEAD = """
name: kept
seed: 17
model:
  dtype: float32
  new:
    vocab_size: 384
    config: {model_type: llama, hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2,
             intermediate_size: 128, max_position_embeddings: 512, tie_word_embeddings: true, initializer_range: 0.05}
prompt_suffix: {}
"""
"""A recipe's head: a tiny dense model, made on the spot."""
RECIPE = (
    HEAD
    + """engine: {name: vllm, max_model_length: 128, max_num_seqs: 8}
stages:
  curate:
    kind: curate
    sources:
      - {generator: arithmetic, rows: 40, split: train, verifier: "mine:score"}
      - {generator: arithmetic, rows: 6, split: eval, verifier: "mine:score"}
    sets: {traces: {split: train, traces: true}, train: {split: train}, eval: {split: eval}}
  sft:
    kind: sft
    data: curate.traces
    trl: {num_train_epochs: 1, per_device_train_batch_size: 8, learning_rate: 2e-3, max_length: 256}
  select: {kind: select, candidates: sft, data: curate.eval, num_generations: 2, max_completion_length: 32}
  rl-a: &rl
    kind: rl
    policy: select
    data: curate.train
    prompts_per_step: 4
    token_budget: 512
    guard: null
    trl: {num_generations: 4, max_completion_length: 32, learning_rate: 1e-3, beta: 0.0, save_steps: 1, max_steps: 3,
          use_vllm: true, vllm_mode: colocate, vllm_max_model_length: 256}
  rl-b: {<<: *rl, policy: rl-a}
  eval: {kind: eval, policies: [sft, rl-a, rl-b], tasks: [curate.eval], num_generations: 2, max_completion_length: 32}
"""
)
BEFORE, AFTER = ["curate", "sft"], ["select", "rl-a", "rl-b", "eval"]
SCORE = "def score(problem, response):\n    return len(response) % 2\n"
"""A verifier by which about half of all responses are right, whatever the policy has learned."""


def recipe_in(folder: Path, settings: Sequence[str] = ()) -> Any:
    """The recipe in a folder of its own, with the code that it names. settings: as `--set` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(SCORE)
    (folder / "kept.yaml").write_text(RECIPE)
    return load_recipe(str(folder / "kept.yaml"), list(settings))


def walk(recipe: Any, run: Path, stages: Sequence[str], *, fresh: bool = True) -> None:
    run_pipeline(recipe, run, Walk(list(stages), fresh=fresh), Console())


@dataclass(frozen=True)
class Engines:
    """The folders that engines were started for, and the engines that are in memory."""

    started: list[str] = field(default_factory=list)
    living: WeakSet[Any] = field(default_factory=WeakSet)


@contextmanager
def engines_counted() -> Iterator[Engines]:
    """What engines there really are in this block; never two in memory."""
    import torch

    prepare_environment(cuda=torch.cuda.is_available())
    from vllm.entrypoints.llm import LLM

    engines = Engines()
    plain: Any = LLM.__init__

    def start(llm: Any, model: str, **settings: Any) -> None:
        gc.collect()
        assert not engines.living, "there would be two engines"
        engines.started.append(model)
        engines.living.add(llm)
        plain(llm, model, **settings)

    LLM.__init__ = start
    try:
        yield engines
    finally:
        LLM.__init__ = plain


def drawn(stage: Path) -> list[Any]:
    """What a stage drew, and for RL what it learned."""
    if stage.name.startswith("rl"):
        rows = [(row["step"], row["prompt_id"], row["response"], row["reward"]) for row in read_rollouts(stage)]
        return [*rows, *(tensor.tolist() for _, tensor in sorted(weights(stage / "policy").items()))]
    responses = read_jsonl(stage / "responses.jsonl")
    return sorted((row["policy"], row["id"], row["sample"], row["response"]) for row in responses)


def said_of_engines(run: Path) -> list[str]:
    """The lines of run.log about engines."""
    return re.findall(r"engine (?:started|kept|not kept).*", (run / "run.log").read_text())
