"""Curation after training: it asks a policy of its own run, and the run's graph, checks and logs know that."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from small_walks import RL, small_recipe

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.graph import Needed, needed_outputs, parents, run_order
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.schema import CurateStage, Recipe, Responder
from ringlite_cli.stages.kinds.curate import _made_here
from ringlite_cli.stages.parts.local_models import asked_models

LAST = """
  collect:
    kind: curate
    sources: [{generator: arithmetic, rows: 10}]
    distill: {teacher: {policy: rl}}
    sets: {last: {rows: {"trace_round=1..2": 4}, traces: true}}
  general-sft: {kind: sft, policy: rl, data: collect.last}
"""


def read(tmp_path: Path, text: str) -> Recipe:
    (tmp_path / "walk.yaml").write_text(text)
    return load_recipe(str(tmp_path / "walk.yaml"))


def test_curation_that_asks_a_policy_comes_after_its_stage(tmp_path: Path) -> None:
    first, _, rest = small_recipe(RL).partition("  curate:")
    recipe = read(tmp_path, f"{first}{LAST.lstrip(chr(10))}  curate:{rest}")
    assert run_order(recipe) == ["curate", "sft", "rl", "collect", "general-sft"]
    assert parents(recipe, "collect") == ["rl"]
    section = recipe.stages["collect"]
    assert isinstance(section, CurateStage)
    assert next(needed_outputs(section)) == Needed("rl", "policy")
    assert section.asks_local_models  # the recipe's engine draws, and is looked at before anything moves
    assert asked_models(section) == {}  # its files are an output of the run, not a folder from outside


@pytest.mark.parametrize(
    ("teacher", "says"),
    [
        (
            "policy: rk",
            r"collect.distill.teacher.policy: no stage 'rk'; this key takes an sft, select or rl stage: sft, rl",
        ),
        ("policy: curate", r"distill.teacher.policy: 'curate' is a curate stage; this key takes sft or select or rl"),
        ("policy: collect", r"distill.teacher.policy: a stage can't refer to itself"),
        ("policy: general-sft", r"general-sft -> collect|collect -> general-sft"),
        ("policy: rl, path: x", r"exactly one of path, endpoint or policy.*path.*policy"),
        ("max_completion_length: 8", r"exactly one of path, endpoint or policy"),
        ("policy: rl, chat_template_kwargs: {a: 1}", r"chat_template_kwargs are an endpoint's"),
    ],
)
def test_a_policy_that_cannot_be_asked_is_said_before_the_run(tmp_path: Path, teacher: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(tmp_path, small_recipe(RL) + LAST.replace("policy: rl}}", teacher + "}}"))


def test_other_weights_of_a_policy_are_asked_anew():
    """The log of responses goes by the responder's name; a stage's name alone would give a new policy old responses."""

    def named(digest):
        done = SimpleNamespace(outputs={"policy": {"digest": digest}})
        return _made_here(SimpleNamespace(done=lambda stage: done), Responder(policy="rl")).name

    assert named("sha256:0123456789abcdef") == "rl@0123456789ab" != named("sha256:ffff456789abcdef")
    other = Responder(path="some/model")
    assert _made_here(SimpleNamespace(), other) is other
