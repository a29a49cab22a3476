"""The JSON Schema of recipes: every shipped one is valid by it, a wrong key is not, and the shipped file is current."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.recipe.editor_schema import FILE, MODELINE, recipe_schema
from ringlite_cli.recipe.load import read_yaml, shipped_recipes
from ringlite_cli.recipe.trl_rules import TRL_RULES

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_valid_and_names_the_schema(name: str, validator: Any) -> None:
    path = shipped_recipes()[name]
    assert [error.message for error in validator.iter_errors(read_yaml(path))] == []
    assert MODELINE in path.read_text().splitlines()[:3]


def changed(recipe: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(recipe)
    *path, last = key.split(".")
    target: Any = made
    for part in path:
        target = target[int(part)] if isinstance(target, list) else target[part]
    target[last] = value
    return made


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sead", 3),
        ("model.pth", "x"),
        ("stages.rl-math.token_budgt", 3),
        ("stages.rl-math.token_budget", -3),
        ("stages.rl-math.max_steps", 3),
        ("stages.rl-math.trl.lr", 1e-3),
        ("stages.rl-math.trl.learning_rate", "fast"),
        ("stages.rl-math.trl.loss_type", "grpo"),
        ("stages.sft.candidates", "sft"),
        ("stages.sft.kind", "sftt"),
        ("stages.curate.sources.0.rws", 3),
        ("stages.curate.sets.math.splt", "train"),
    ],
)
def test_a_wrong_key_or_value_is_not_valid(key: str, value: Any, validator: Any) -> None:
    toy = read_yaml(shipped_recipes()["toy"])
    assert validator.is_valid(toy)
    assert not validator.is_valid(changed(toy, key, value))


def test_keys_have_their_descriptions_and_nothing_of_pydantic() -> None:
    schema = recipe_schema()
    stage = schema["$defs"]["rl-stage"]["properties"]
    assert "Phi" in stage["token_budget"]["description"]
    assert schema["properties"]["name"]["pattern"]
    assert "key_class" not in json.dumps(schema)


def test_the_shipped_file_is_current() -> None:
    """But for TRL's fields, which go with the installed version: `ringlite schema > recipes/recipe.schema.json`."""
    shipped = json.loads((Path(shipped_recipes()["toy"]).parent / FILE).read_text())
    current = recipe_schema()
    for schema in (shipped, current):
        for config in TRL_RULES:
            schema["$defs"][config].pop("properties")
    assert shipped == current
