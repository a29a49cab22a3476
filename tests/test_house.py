"""The house keeps its floors: a file imports its own room and floors below, and the CLI answers without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ringlite_cli

PACKAGE = Path(ringlite_cli.__file__).parent
GROUND = {"errors", "problems", "samples", "console", "engine", "freeing"}
LOW = {"recipe", "runs"}
ROOMS = {"data", "rewards", "sandbox", "sampling", "evals", "train", "report"}
ARROWS = {("rewards", "sandbox"), ("train", "c3po"), ("sampling", "c3po")}
FLOOR = (
    dict.fromkeys(GROUND, 0)
    | dict.fromkeys(LOW, 1)
    | {"c3po": 2, "models": 2}
    | dict.fromkeys(ROOMS, 3)
    | {"stages": 4, "cli": 5, "__main__": 6}
)


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(file: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            inside = len(file.relative_to(PACKAGE).parts) - 1
            assert node.level <= inside, f"{file}: a relative import that leaves the room"
            names = [node.module or ""] if node.level == 0 else []
            if node.module == "ringlite_cli":
                names = [f"ringlite_cli.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("ringlite_cli.")}
    return rooms & FLOOR.keys()


def may_import(room: str, other: str) -> bool:
    if room == other or other in GROUND:
        return room not in GROUND or other in GROUND
    if room in ROOMS and other in ROOMS | {"c3po"}:
        return (room, other) in ARROWS
    return FLOOR[other] < FLOOR[room]


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_imports_its_own_room_and_floors_below(file: Path) -> None:
    room = room_of(file)
    assert room in FLOOR, f"{file}: a new room needs a floor"
    wrong = {other for other in imported_rooms(file) if not may_import(room, other)}
    assert not wrong, f"{room} must not import {wrong}"


def test_the_floors_forbid_what_they_should() -> None:
    assert may_import("stages", "train")
    assert may_import("rewards", "sandbox")
    assert not may_import("sandbox", "rewards")
    assert not may_import("data", "rewards")
    assert not may_import("recipe", "train")
    assert not may_import("c3po", "train")


@pytest.mark.parametrize("arguments", [["--help"], ["check", "toy"], ["recipes"]])
def test_the_cli_answers_without_torch_and_trl(arguments: list[str]) -> None:
    code = (
        "import sys; from ringlite_cli.__main__ import run; "
        f"code = run({arguments!r}); loaded = {{'torch', 'trl', 'transformers'}} & sys.modules.keys(); "
        "sys.exit(f'loaded {loaded}' if loaded else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
