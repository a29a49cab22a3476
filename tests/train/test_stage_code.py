"""A training stage runs again when code that it trains with changes: its `code` covers what it imports."""

import ast
from pathlib import Path

import pytest

import ringlite_cli
from ringlite_cli.stages.kinds.reward_model import STAGE as REWARD_MODEL
from ringlite_cli.stages.kinds.rl import STAGE as RL
from ringlite_cli.stages.kinds.sft import STAGE as SFT

PACKAGE = Path(ringlite_cli.__file__).parent
FOLLOWED = ("train", "c3po", "models")
"""Rooms whose code makes a trained model what it is; floors below read and write files."""


def imported_by(node: ast.AST) -> str:
    """The module that an import names, or a call of `import_apart`; "" for anything else."""
    if isinstance(node, ast.ImportFrom):
        return node.module or ""
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "import_apart"
    return str(node.args[0].value) if called and isinstance(node.args[0], ast.Constant) else ""


def modules_of(file: Path) -> set[Path]:
    """Files of the followed rooms that a file imports, by itself and by what it imports."""
    found: set[Path] = set()
    todo = [file]
    while todo:
        for node in ast.walk(ast.parse(todo.pop().read_text(encoding="utf-8"))):
            module = imported_by(node)
            if module.startswith("ringlite_cli."):
                parts = module.split(".")[1:]
                path = PACKAGE.joinpath(*parts)
                path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
                if parts[0] in FOLLOWED and path not in found:
                    found.add(path)
                    todo.append(path)
    return found


@pytest.mark.parametrize(
    ("stage", "file"),
    [(SFT, "attention.py"), (REWARD_MODEL, "kernel_choice.py"), (RL, "attention.py")],
    ids=["sft", "reward-model", "rl"],
)
def test_the_fingerprint_covers_what_is_imported(stage, file):
    imported = modules_of(PACKAGE / "stages" / "kinds" / f"{stage.kind.replace('-', '_')}.py")
    assert {PACKAGE / "c3po" / file, PACKAGE / "train" / "sums.py"} <= imported
    covered = [PACKAGE / name for name in stage.code]
    missing = [path for path in imported if not any(path == c or c in path.parents for c in covered)]
    assert not missing
