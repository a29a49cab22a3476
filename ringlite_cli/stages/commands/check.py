"""Loads a recipe and checks it to the end: schema, references, its model's folder, and each stage's own section."""

from collections.abc import Sequence

from ringlite_cli.models.new_sizes import size_faults
from ringlite_cli.models.refused import model_faults
from ringlite_cli.recipe.load import read_draft
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.stages.kinds import KINDS


def load_checked(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return a recipe that nothing is known to be wrong with. Raises RecipeErrors with all faults at once."""
    draft = read_draft(name, overrides)
    recipe = draft.recipe
    if draft.head_is_sound:
        model = recipe.model
        new = model.new.config if model.new else None
        found = model_faults(model.path, trust_remote_code=model.trust_remote_code, new_config=new)
        draft.faults += [f"model.{fault}" for fault in found]
        if model.new and not found:
            draft.faults += [
                f"model.new.config.{fault}" for fault in size_faults(model.new.config, model.new.vocab_size)
            ]
    for stage, section in recipe.stages.items():
        if stage not in draft.unsound:
            draft.faults += [f"stages.{stage}.{fault}" for fault in KINDS[section.kind].faults(recipe, stage)]
    return draft.whole()
