"""A run's resolved recipe beside another: the shipped one of its name, any recipe, or another run's."""

import difflib
from pathlib import Path

import yaml

from ringlite_cli.errors import UserError
from ringlite_cli.report.files import JsonRow, load_json

_MOST_LINES = 2000


def resolved(name: str) -> tuple[str, JsonRow]:
    """Return what a run folder, a recipe file or a shipped recipe's name resolves to, with a name for it.

    Raises UserError where there is neither, or the recipe is not sound.
    """
    found = load_json(Path(name) / "recipe.json")
    if isinstance(found, dict):
        return f"the run {name}", found
    from ringlite_cli.recipe.draft import validate
    from ringlite_cli.recipe.load import find_recipe, read_yaml, shipped_recipes
    from ringlite_cli.recipe.places import Places

    if Path(name).is_dir():
        raise UserError("this folder has no recipe.json", where=name, hint="give a run folder, a recipe or its name")
    path = find_recipe(name)
    draft = validate(read_yaml(path), Places(path))
    if draft.faults:
        raise UserError(f"this recipe is not sound: {draft.faults[0]}", where=name)
    what = f"the shipped recipe {name}" if path == shipped_recipes().get(name) else f"the recipe {name}"
    return what, draft.recipe.model_dump(mode="json")


def shipped_of(recipe: JsonRow) -> tuple[str, JsonRow] | None:
    """Return the shipped recipe of a resolved recipe's name; None where there is none that can be read."""
    from ringlite_cli.recipe.load import shipped_recipes

    name = recipe.get("name")
    if not isinstance(name, str) or name not in shipped_recipes():
        return None
    try:
        return resolved(name)
    except Exception:  # a shipped recipe of another version; the page goes without
        return None


def as_yaml(recipe: object) -> str:
    """Return a resolved recipe as YAML, in its own order of keys."""
    try:
        return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)
    except (yaml.YAMLError, RecursionError):
        return ""


def difference(mine: JsonRow, theirs: JsonRow) -> str:
    """Return the lines that differ, each below the sections that it stands in: - theirs, + mine; "" for none."""
    before, after = _lines(theirs), _lines(mine)
    changed = [
        line
        for line in difflib.unified_diff(before, after, lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    more = len(changed) - _MOST_LINES
    return "\n".join(changed[:_MOST_LINES] + ([f"… {more} more lines"] if more > 0 else []))


def _lines(recipe: object, place: str = "") -> list[str]:
    """Every key with its place: `stages.sft.trl.learning_rate: 0.002`."""
    if isinstance(recipe, dict) and recipe:
        return [
            line for key, value in recipe.items() for line in _lines(value, f"{place}.{key}" if place else str(key))
        ]
    value = yaml.safe_dump(recipe, default_flow_style=True, width=10_000, allow_unicode=True)
    return [f"{place}: {value.splitlines()[0]}"]
