"""The recipe's section `rewards` and the library's VerifierSettings mean the same where nothing is given."""

from dataclasses import fields

from ringlite_cli.recipe.schema import Rewards
from ringlite_cli.rewards.verifiers import VerifierSettings


def test_defaults_of_recipe_and_library_are_the_same() -> None:
    of_library = {field.name: getattr(VerifierSettings(), field.name) for field in fields(VerifierSettings)}
    del of_library["math_memory_mb"]  # no key of a recipe
    recipe = Rewards().model_dump()
    assert recipe.keys() == of_library.keys()
    for key, value in recipe.items():
        mine = of_library[key]
        assert (list(mine) if isinstance(value, list) else mine) == value, key
