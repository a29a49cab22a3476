"""The house keeps its floors: a file imports its own room and floors below, and the CLI answers without torch."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import ringlite_cli

PACKAGE = Path(ringlite_cli.__file__).parent
GROUND = {
    "beside",
    "boxes",
    "byte_streams",
    "chat",
    "data_folder",
    "domains",
    "errors",
    "problems",
    "prompt_code",
    "samples",
    "shipped",
    "config_numbers",
    "console",
    "engine",
    "freeing",
    "http_client",
    "json_rows",
    "limits",
    "model_text",
    "overlooked",
    "own_code",
    "presence",
    "sessions",
    "shares",
    "repetition",
    "terminal",
    "thoughts",
    "where",
    "whole",
}
LOW = {"recipe", "runs"}
ROOMS = {"data", "rewards", "sandbox", "sampling", "evals", "train", "report"}
ARROWS = {("rewards", "sandbox"), ("train", "c3po"), ("sampling", "c3po"), ("evals", "data"), ("evals", "report")}
FLOOR = (
    dict.fromkeys(GROUND, 0)
    | dict.fromkeys(LOW, 1)
    | {"c3po": 2, "models": 2, "memory": 2}
    | dict.fromkeys(ROOMS, 3)
    | {"stages": 4, "cli": 5, "cli_page": 6, "__main__": 6}
)

SMALL_ROOMS = {
    "train": {
        "base_model": 0,
        "devices": 0,
        "step_rows": 0,
        "sums": 0,
        "finite": 0,
        "filled_batches": 0,
        "epoch_order": 0,
        "speed": 0,
        "read_once": 0,
        "sharded": 1,
        "float32_head": 0,
        "liger": 0,
        "resume": 1,
        "engine": 2,
        "guard": 3,
        "sft": 4,
        "reward_model": 4,
        "rl": 4,
    },
    "stages": {"base": 0, "calls": 1, "parts": 1, "preflight": 2, "kinds": 3, "walk": 4, "commands": 5},
}
"""Floors inside the two largest rooms: a small room imports those below it alone."""


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


def test_a_file_imports_its_own_room_and_floors_below() -> None:
    faults = []
    for file in FILES:
        room = room_of(file)
        assert room in FLOOR, f"{file}: a new room needs a floor"
        faults += [
            f"{file}: {room} must not import {other}" for other in imported_rooms(file) if not may_import(room, other)
        ]
    assert not faults, "\n".join(faults)


def inner_imports(room: str) -> set[tuple[str, str, str]]:
    """Return (file, its small room, the small room that it imports) for every arrow inside a room."""
    arrows = set()
    for file in sorted((PACKAGE / room).rglob("*.py")):
        inside = file.relative_to(PACKAGE / room)
        own = inside.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            parts = (getattr(node, "module", None) or "").split(".") if isinstance(node, ast.ImportFrom) else []
            if parts[:2] == ["ringlite_cli", room] and len(parts) > 2 and parts[2] != own:
                arrows.add((str(inside), own, parts[2]))
    return arrows


@pytest.mark.parametrize("room", SMALL_ROOMS)
def test_small_rooms_keep_their_floors_too(room: str) -> None:
    floors = SMALL_ROOMS[room]
    arrows = inner_imports(room)
    assert len(arrows) > 10, "the test reads no imports"
    assert {own for _, own, _ in arrows} <= floors.keys(), "a new small room needs a floor"
    wrong = [f"{file} must not import {other}" for file, own, other in arrows if floors[other] >= floors[own]]
    assert not wrong, "\n".join(wrong)


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


LONGEST_FILE, LONGEST_FUNCTION = 350, 60
LONGER: dict[str, str] = {}
"""file, or file:function -> why it may be longer. Split by what changes together, not by length alone."""


def lengths(file: Path) -> dict[str, int]:
    """Return the lines of a file and of each of its functions that are past the limits."""
    text, name = file.read_text(encoding="utf-8"), file.relative_to(PACKAGE).as_posix()
    found = {name: len(text.splitlines())} if len(text.splitlines()) > LONGEST_FILE else {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                found[f"{name}:{node.name}"] = lines
    return found


def test_no_room_and_no_function_is_too_large() -> None:
    long = {name: lines for file in FILES for name, lines in lengths(file).items()}
    assert long.keys() == LONGER.keys(), long


def test_no_two_test_modules_share_a_name() -> None:
    """They are imported by their file's name alone: pytest takes one, and refuses the other in a run of both."""
    tests = Path(__file__).parent
    seen = Counter(file.name for file in tests.rglob("*.py") if file.name != "conftest.py")
    assert [name for name, times in seen.items() if times > 1] == []


SEARCHES = {"compile", "find", "rfind", "index", "rindex", "search", "match", "findall", "finditer", "split", "rsplit",
            "partition", "rpartition", "sub"}  # fmt: skip
NO_READERS = {
    "boxes.py": "the reader itself",
    "data/boilerplate.py": "finds the instruction to box in prompts, not an answer",
    "stages/commands/first/fit.py": "sees whether prompts ask for a box themselves",
    "data/adapters/aime.py": "takes the dress off a box of its source; the answer is a column",
}


def searches_for_boxes(node: ast.AST) -> bool:
    """Whether the node looks for a box in a text: a search with "boxed" in its pattern, or `"boxed" in text`."""
    said: list[ast.AST] = []
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        said = list(node.args) if name in SEARCHES else []
    elif isinstance(node, ast.Compare) and any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
        said = [node.left]
    constants = [part for each in said for part in ast.walk(each) if isinstance(part, ast.Constant)]
    return any(isinstance(part.value, str) and "boxed" in part.value for part in constants)


def test_boxes_are_read_in_one_place() -> None:
    """A second reader would find another answer in the same text."""
    found = {
        file.relative_to(PACKAGE).as_posix()
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if searches_for_boxes(node)
    }
    assert found == set(NO_READERS)


CLIENTS = {"urllib.request", "requests", "httpx", "httpx2", "aiohttp", "urllib3"}


def test_there_is_one_http_client() -> None:
    found = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if CLIENTS & {*names, *(name.partition(".")[0] for name in names)}:
                found.add(file.relative_to(PACKAGE).as_posix())
    assert found == {"http_client.py"}


ONE_PLACE = {
    "resolve_batch(": {"recipe/batch_plan.py", "recipe/c3po.py"},
    '"RINGLITE_DATA"': {"data_folder.py"},
    "lock_descriptor(": {"runs/folder.py"},
}
"""What is asked in one place alone: a second caller would fill in other numbers, or forget what the first one minds."""


@pytest.mark.parametrize("what", ONE_PLACE)
def test_what_is_asked_in_one_place(what: str) -> None:
    found = {f.relative_to(PACKAGE).as_posix() for f in FILES if what in f.read_text(encoding="utf-8")}
    assert found == ONE_PLACE[what]
