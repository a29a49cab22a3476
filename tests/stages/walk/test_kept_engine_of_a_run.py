"""One vLLM engine for the stages of a run that draw: fewer starts, and each stage's responses as when it runs alone."""

from pathlib import Path
from typing import Any

import pytest
from kept_engines import HEAD

from ringlite_cli.console import Console
from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.sampling import keeping, vllm_engines
from ringlite_cli.stages.walk.decide import Walk
from ringlite_cli.stages.walk.pipeline import run_pipeline

FAULT = fault_of(vllm_version())
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(FAULT), reason=f"{FAULT}; `make setup-vllm` installs it")]

RECIPE = (
    HEAD
    + """engine: {name: vllm, max_model_length: 256, max_num_seqs: 16}
stages:
  curate:
    kind: curate
    sources:
      - {generator: arithmetic, rows: 100, split: train}
      - {generator: arithmetic, rows: 12, split: eval}
    sets: {traces: {split: train, traces: true}, eval: {split: eval}}
  sft:
    kind: sft
    data: curate.traces
    checkpoints_per_epoch: 2
    trl: {num_train_epochs: 2, per_device_train_batch_size: 8, learning_rate: 2e-3, max_length: 256}
  select: {kind: select, candidates: sft, data: curate.eval, num_generations: 2, max_completion_length: 32}
  eval: {kind: eval, policies: [base, sft], tasks: [curate.eval], num_generations: 2, max_completion_length: 32}
  again: {kind: eval, policies: [sft, select], tasks: [curate.eval], num_generations: 2, max_completion_length: 32}
"""
)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that engines were started for; there has to be none in memory then."""
    started: list[str] = []
    plain = vllm_engines.start

    def start(key: Any) -> Any:
        assert keeping._of_run is not None
        assert keeping._of_run._llm is None, "there would be two engines"
        started.append(key.model_path)
        return plain(key)

    monkeypatch.setattr(vllm_engines, "start", start)
    return started


def responses(stage: Path) -> list[tuple[str, str, int, str]]:
    rows = read_jsonl(stage / "responses.jsonl")
    return sorted((row["policy"], row["id"], row["sample"], row["response"]) for row in rows)


def test_stages_of_a_run_share_an_engine_and_draw_as_each_alone(tmp_path: Path, starts: list[str]) -> None:
    (tmp_path / "kept.yaml").write_text(RECIPE)
    recipe, run = load_recipe(str(tmp_path / "kept.yaml")), tmp_path / "run"
    run_pipeline(recipe, run, Walk(list(recipe.stages)), Console())
    assert len(starts) == 1, "select, eval and again draw from policies of one shape"
    assert keeping._of_run is None

    together = {name: responses(run / name) for name in ("select", "eval", "again")}
    of_policy = {policy: [row[1:] for row in together["again"] if row[0] == policy] for policy in ("sft", "select")}
    assert of_policy["sft"] == [row[1:] for row in together["eval"] if row[0] == "sft"]
    for name, drawn in together.items():
        run_pipeline(recipe, run, Walk([name], fresh=True), Console())
        assert responses(run / name) == drawn
    assert len(starts) == 4, "a stage that runs by itself has an engine of its own"
