"""The recipe's section `rewards` and the library's VerifierSettings mean the same where nothing is given."""

from dataclasses import fields

from ringlite_cli.recipe.composition import COMPOSED
from ringlite_cli.recipe.schema import Rewards
from ringlite_cli.rewards.verifiers import VerifierSettings


def test_defaults_of_recipe_and_library_are_the_same() -> None:
    of_library = {field.name: getattr(VerifierSettings(), field.name) for field in fields(VerifierSettings)}
    del of_library["math_memory_mb"], of_library["judge_folder"]  # no keys of a recipe
    del of_library["partial_scores"]  # a key of RL's stages
    recipe = Rewards().model_dump(exclude=set(COMPOSED))  # which RL composes rewards by, and no verifier
    assert recipe.keys() == of_library.keys()
    for key, value in recipe.items():
        mine = of_library[key]
        assert (list(mine) if isinstance(value, list) else mine) == value, key
