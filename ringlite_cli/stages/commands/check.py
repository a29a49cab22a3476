"""Loads a recipe and checks it to the end: schema, references, its model's folder, and each stage's own section."""

from collections.abc import Sequence

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.models.refused import model_faults
from ringlite_cli.recipe.load import find_recipe, load_recipe
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.stages.kinds import KINDS


def load_checked(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe that nothing is known to be wrong with. Raises RecipeErrors with all faults at once."""
    recipe = load_recipe(name, overrides)
    path = find_recipe(name)
    model = recipe.model
    faults = [f"{path}: model.{fault}" for fault in model_faults(model.path, trust_remote_code=model.trust_remote_code)]
    faults += [
        f"{path}: stages.{stage}.{fault}"
        for stage, section in recipe.stages.items()
        for fault in KINDS[section.kind].faults(recipe, stage)
    ]
    if faults:
        raise RecipeErrors(faults)
    return recipe
