"""Numbers that the pages tell of a key are the key's defaults: a default that changes must change there too."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ringlite_cli.recipe.algorithms import algorithms, facts
from ringlite_cli.recipe.schema import RecipeHead, Stage

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*DOCS.glob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"])
TOLD = re.compile(r"`(?:[a-z_]+\.)*([a-z_]+)` \((?:default )?(\d[\d,]*\.?\d*)( ?%)?(?= |\)|,)")
"""A key, and behind it a number in brackets: `sync_tolerance` (0.1 nats per token)."""


def _sections(model: Any) -> list[type[BaseModel]]:
    """All sections below a type, itself included."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [model, *(s for field in model.model_fields.values() for s in _sections(field.annotation))]
    return [s for inner in getattr(model, "__args__", ()) for s in _sections(inner)]


def _defaults() -> dict[str, set[float]]:
    """Key -> its defaults, over all sections that have one of this name, and what algorithms give TRL's fields."""
    found: dict[str, set[float]] = {}
    pairs = [
        (name, field.default)
        for s in _sections(RecipeHead) + _sections(Stage)
        for name, field in s.model_fields.items()
    ]
    pairs += [pair for name in algorithms() for pair in facts(name).trl_defaults.items()]
    for name, value in pairs:
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.setdefault(name, set()).add(float(value))
    return found


def _told(page: Path) -> list[tuple[str, float]]:
    return [
        (name, float(number.replace(",", "")) / (100 if percent else 1))
        for name, number, percent in TOLD.findall(page.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_number_in_brackets_behind_a_key_is_its_default(page: Path) -> None:
    known = _defaults()
    wrong = [
        f"`{name}` ({number:g}): {known[name]}"
        for name, number in _told(page)
        if name in known and number not in known[name]
    ]
    assert not wrong


def test_the_pages_tell_such_numbers() -> None:
    known = _defaults()
    assert {name for page in PAGES for name, _ in _told(page) if name in known} >= {
        "max_unreadable",
        "max_left_out",
        "sync_tolerance",
        "science_tolerance",
        "epsilon_high",
    }
