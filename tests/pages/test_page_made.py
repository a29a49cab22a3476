"""Pages and pictures that are made are what their makers say today."""

import importlib.util
import re
from types import ModuleType

import pytest
from doc_pages import DOCS

from ringlite_cli.c3po.budget import pick_tokens, seeded_order
from ringlite_cli.cli_page import page
from ringlite_cli.recipe.load import shipped_recipes


def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", DOCS / "assets" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_commands_is_current() -> None:
    committed = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert committed == page(), "run python -m ringlite_cli.cli_page > docs/cli.md"


def test_the_page_of_commands_has_arguments_options_and_nested_commands() -> None:
    text = page()
    for part in ("## ringlite run\n", "## ringlite sandbox run\n", "`--set KEY=VALUE`", "[default: runs]"):
        assert part in text, part
    assert "select-by-entropy" not in text  # hidden


@pytest.mark.parametrize("name", drawing().PICTURES)
def test_a_picture_is_what_its_script_draws(name: str) -> None:
    assert (DOCS / "assets" / name).read_text(encoding="utf-8") == drawing().PICTURES[name](), (
        "run python docs/assets/draw.py"
    )


def test_the_table_of_recipes_has_every_shipped_one() -> None:
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w.-]+)` \|", text, re.MULTILINE)) == set(shipped_recipes())


def test_the_picture_of_the_budget_shows_a_cut_and_responses_that_are_left_out() -> None:
    draw = drawing()
    order = seeded_order(range(len(draw.LENGTHS)), seed=17, step=1)
    picks = pick_tokens(draw.LENGTHS, draw.BUDGET, order)
    assert sum(pick.tokens for pick in picks) == draw.BUDGET
    assert picks[-1].tokens < draw.LENGTHS[picks[-1].index]
    assert len(picks) < len(draw.LENGTHS) - 2
    assert f"cut after {picks[-1].tokens} tokens" in draw.budget()
