"""A recipe's own objects are known to the whole process: each test here leaves it as it found it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringlite_cli import domains, own_code


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Write a module into tmp_path, make its objects known, and return its name; all is forgotten afterwards."""
    made: list[str] = []

    def write(source: str, *objects: str) -> str:
        name = f"own_{tmp_path.name.replace('-', '_')}_{len(made)}"
        (tmp_path / f"{name}.py").write_text(source)
        made.append(name)
        own_code.declare([f"{name}:{each}" for each in objects], tmp_path)
        return name

    yield write
    own_code.declare([], None)
    domains.declare({})
    for name in made:
        sys.modules.pop(name, None)
