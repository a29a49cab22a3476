"""Keys by their earlier names: read, overridden and told of; given twice, an error that names the new one."""

from pathlib import Path

import pytest

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.recipe import renamed
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.recipe.load import find_recipe, load_recipe
from ringlite_cli.recipe.schema import STAGE_SECTIONS, CodeTests

TOY = find_recipe("toy")


def _old(folder: Path) -> str:
    """The toy recipe as it was written before."""
    text = TOY.read_text(encoding="utf-8")
    path = folder / "old.yaml"
    path.write_text(
        text.replace("  num_generations: ", "  samples: ").replace(
            "max_completion_length: 48\n", "max_new_tokens: 48\n"
        )
    )
    assert "samples: 2" in path.read_text()
    assert "max_new_tokens: 48" in path.read_text()
    return str(path)


def test_a_recipe_with_the_old_names_is_the_same_recipe_and_is_told_of(tmp_path, caplog):
    renamed._tell.cache_clear()
    assert load_recipe(_old(tmp_path)).stages == load_recipe("toy").stages
    assert [record.message.partition(";")[0] for record in caplog.records] == [
        "max_new_tokens is called max_completion_length now",
        "samples is called num_generations now",
    ]


@pytest.mark.parametrize("key", ["max_new_tokens", "max_completion_length"])
def test_an_override_by_either_name_replaces_the_key_by_either_name(key, tmp_path):
    for recipe in ("toy", _old(tmp_path)):
        assert load_recipe(recipe, [f"stages.eval.{key}=7"]).stages["eval"].max_completion_length == 7


def test_a_key_given_by_both_names_is_an_error_that_names_the_new_one():
    with pytest.raises(RecipeErrors, match="samples is called num_generations now; give num_generations alone"):
        EvalSettings.made(samples=2, num_generations=3)


def test_no_section_has_a_key_by_an_old_name():
    for section in STAGE_SECTIONS.values():
        assert not renamed.NEW_NAMES.keys() & section.model_fields.keys()


def test_a_key_that_is_gone_is_left_out_and_told_of(caplog):
    renamed._tell.cache_clear()
    assert CodeTests.made(order=True, mutants=6) == CodeTests(order=True)
    assert [record.message for record in caplog.records] == [
        "mutants is gone: cases are ordered by the programs that the source knows to be wrong; leave it out"
    ]
    with pytest.raises(RecipeErrors, match="'mutants' is not a key here"):
        EvalSettings.made(mutants=6)
