"""Every key of a recipe has a description, and the committed page of keys is what the schema says."""

from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from ringlite_cli.recipe.experiment import Experiment
from ringlite_cli.recipe.reference import page, sections
from ringlite_cli.recipe.schema import STAGE_SECTIONS, RecipeHead
from ringlite_cli.recipe.section import Section

PAGE = Path(__file__).parents[2] / "docs" / "recipe_reference.md"
TOPS = {"recipe": RecipeHead, "experiment": Experiment, **STAGE_SECTIONS}
ALL = {f"{top}.{name}": model for top, section in TOPS.items() for name, model in sections(section)} | TOPS


def without_description(model: type[BaseModel]) -> list[str]:
    return [name for name, key in model.model_fields.items() if not (key.description or "").strip()]


@pytest.mark.parametrize("name", ALL)
def test_every_key_has_a_description(name: str) -> None:
    assert without_description(ALL[name]) == []


def test_a_key_without_a_description_is_found_in_a_nested_section() -> None:
    class Inner(Section):
        said: int = Field(1, description="one")
        unsaid: int = 1

    class Outer(Section):
        many: list[Inner] = Field([], description="some")
        one: Inner | None = Field(None, description="or one")

    assert [(name, without_description(inner)) for name, inner in sections(Outer)] == [
        ("many[]", ["unsaid"]),
        ("one", ["unsaid"]),
    ]


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run python -m ringlite_cli.recipe.reference > docs/recipe_reference.md"
    )


def test_the_page_has_nested_keys_and_rules() -> None:
    text = page()
    for part in ("`sources[]`", "`guard.entropy`", "`rl_probe`", "`difficulty.models[]`", "`token_budget`", "`delta`"):
        assert part in text, part
