"""Every key of a recipe says whether it is objective or operational, and every named TRL field exists."""

import pytest
from pydantic import BaseModel, Field

from ringlite_cli.recipe.guard import Guard
from ringlite_cli.recipe.key_classes import TRL_LENGTH, TRL_OPERATIONAL, TRL_TUNABLE, key_class
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.reference import sections
from ringlite_cli.recipe.schema import STAGE_SECTIONS, RecipeHead
from ringlite_cli.recipe.section import Section
from ringlite_cli.recipe.trl_fields import trl_fields

TOPS = {"recipe": RecipeHead, **STAGE_SECTIONS}
ALL = {f"{top}.{name}": model for top, section in TOPS.items() for name, model in sections(section)} | TOPS


def without_class(model: type[BaseModel]) -> list[str]:
    return [name for name, key in model.model_fields.items() if key_class(key) is None]


@pytest.mark.parametrize("name", ALL)
def test_every_key_has_a_class(name: str) -> None:
    assert without_class(ALL[name]) == [], "write objective(...), tunable(...) or operational(...) for Field(...)"


def test_a_key_without_a_class_is_found_and_counts_as_objective() -> None:
    class Loose(Section):
        said: int = Field(1, description="no class")

    assert without_class(Loose) == ["said"]
    assert Loose(said=2).objective() == {"said": 2}


def test_the_named_trl_fields_are_trls() -> None:
    known = trl_fields("SFTConfig").keys() | trl_fields("GRPOConfig").keys()
    assert known >= TRL_OPERATIONAL | TRL_TUNABLE
    assert not TRL_OPERATIONAL & TRL_TUNABLE
    assert TRL_LENGTH <= TRL_TUNABLE


def changed(*overrides: str) -> bool:
    """Whether overrides of the toy recipe change what one of its sections decides."""
    one, other = load_recipe("toy"), load_recipe("toy", overrides)
    return one.objective() != other.objective()


@pytest.mark.parametrize(
    "override",
    [
        *("seed=3", "model.dtype=bfloat16", "engine.seeded=true", "engine.name=transformers"),
        *("rewards.code_timeout=9", "rewards.math_timeout=9", "stages.rl-math.guard.lr_factor=0.5"),
        *("stages.rl-math.guard.reward={action: rollback}", "stages.sft.trl.learning_rate=1e-4"),
    ],
)
def test_what_changes_weights_samples_or_verdicts_is_objective(override: str) -> None:
    assert changed(override)


@pytest.mark.parametrize(
    "override",
    [
        *("note=other", "engine.gpu_memory_utilization=0.2", "rewards.workers=9", "stages.curate.workers=3"),
        *("stages.rl-math.trl.save_steps=7", "stages.rl-math.trl.report_to=none", "stages.rl-math.engine_timeout=9"),
        *("stages.rl-math.guard.reward={action: pause}", "stages.rl-math.sync_tolerance=1"),
    ],
)
def test_what_only_changes_how_the_work_is_done_is_operational(override: str) -> None:
    assert not changed(override)


def test_a_guard_that_never_rolls_back_decides_nothing() -> None:
    assert Guard(not_finite={"action": "pause"}).objective() == {}
    assert Guard().objective().keys() == {"not_finite", "window", "lr_factor", "max_rollbacks"}
