"""The small recipe of the tests that walk stages, and stages that run a function of the test in place of their work."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ringlite_cli.stages.base import Context, StageResult
from ringlite_cli.stages.kinds import KINDS

SELECT = "select: {kind: select, candidates: sft, data: curate.math}"
RL = (
    "rl: {kind: rl, policy: sft, data: curate.math, prompts_per_step: 2, token_budget: 64, row_tokens: 256, "
    "trl: {max_steps: 12, num_generations: 4, max_completion_length: 32, learning_rate: 1e-5}}"
)


def small_recipe(
    last: str, *, name: str = "walk", model: str = "some/model", source: str = "generator: arithmetic, rows: 10"
) -> str:
    """Return a recipe of three stages: curate, sft, and `last` (SELECT or RL)."""
    return f"""\
name: {name}
model: {{path: {model}}}
stages:
  curate:
    kind: curate
    sources: [{{{source}}}]
    sets: {{traces: {{}}, math: {{}}}}
  sft: {{kind: sft, data: curate.traces}}
  {last}
"""


def run_in_stages(monkeypatch: pytest.MonkeyPatch, work: Callable[[Context], StageResult]) -> None:
    """Let all kinds of stages run `work`, known by one small file of code, without checks beforehand."""
    for name, kind in KINDS.items():
        monkeypatch.setitem(KINDS, name, replace(kind, run=work, preflight=tuple, code=("errors.py",)))
