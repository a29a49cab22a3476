"""What the pages tell a reader to type works: blocks of commands are run, inline commands and options exist."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from command_line import ringlite
from doc_pages import ROOT, Block, blocks, inline_code, pages

from ringlite_cli.cli import app

QUICK = {"recipes", "check", "launcher", "constraints"}
"""Commands that take no second, by themselves."""
MARKS = ("not run: ", "full: ")
BLOCKS = [block for page in pages() for block in blocks(page, "bash")]
PLACEHOLDERS = {"RECIPE": "toy", "RUN": "runs/demo"}
PROBLEMS = "".join(
    json.dumps(
        {
            "question": f"A box has {n} red and {3 * n + 1} blue balls. How many are in 7 such?",
            "answer": 7 * (4 * n + 1),
        }
    )
    + "\n"
    for n in range(2, 62)
)
FILES = {
    "problems.jsonl": PROBLEMS,
    "program.py": "print(int(input()) + 1)\n",
    "tests.json": '{"mode": "stdin", "cases": [{"input": "3\\n", "output": "4\\n"}]}',
    "responses.jsonl": '{"domain": "math", "prompt": "3 + 4?", "answer": "7", "response": "\\\\boxed{7}"}\n',
}


def _is_quick(block: Block) -> bool:
    words = [shlex.split(command, comments=True) for command in block.commands]
    return all(w[0] == "make" or (w[0] == "ringlite" and w[1] in QUICK and "--deep" not in w) for w in words)


def _cases() -> Iterator[object]:
    for block in BLOCKS:
        if block.mark.startswith("not run: "):
            continue
        marks = [] if _is_quick(block) else [pytest.mark.slow]
        if block.mark.startswith("full: "):
            marks = [pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(3600)]
        yield pytest.param(block, id=block.name, marks=marks)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder such as a reader has after the quickstart: the project's files, and a run of `toy`, also as `demo`.

    RINGLITE_TOY_RUN names a finished run of `toy` by this code, which saves its minute.
    """
    folder = tmp_path_factory.mktemp("shop")
    for name in ("examples", "benchmarks", "docs"):
        (folder / name).symlink_to(ROOT / name)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    if made := os.environ.get("RINGLITE_TOY_RUN"):
        shutil.copytree(made, folder / "runs" / "toy")
    else:
        done = ringlite("run", "toy", cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(folder / "runs" / "toy", folder / "runs" / "demo")
    return folder


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the shop for a block that needs more than a second; for others, the examples alone."""
    block = request.node.callspec.params["block"]
    if _is_quick(block):
        (tmp_path / "examples").symlink_to(ROOT / "examples")
        return tmp_path
    return Path(shutil.copytree(request.getfixturevalue("shop"), tmp_path / "shop", symlinks=True))


@pytest.mark.parametrize("block", list(_cases()))
def test_the_commands_of_a_page_work(block: Block, folder: Path) -> None:
    for command in block.commands:
        words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command, comments=True)]
        code, said = _run(words, folder)
        allowed = {0, 1} if words[:2] == ["ringlite", "doctor"] else {0}  # 1: this machine lacks something
        assert code in allowed, f"{command}\n{said}"


def _run(words: list[str], folder: Path) -> tuple[int, str]:
    """Run one command line; `make` as far as what it would do."""
    if words[0] == "ringlite":
        done = ringlite(*words[1:], cwd=folder)
        return done.returncode, done.stdout + done.stderr
    known = {"make": ["make", "-n"], "python": [sys.executable], "cp": ["cp"], "ls": ["ls"]}
    known["benchmarks/flagship.sh"] = ["bash", "benchmarks/flagship.sh"]
    assert words[0] in known, f"{words[0]}: mark the block `not run`, or say here how it is run"
    place = ROOT if words[0] == "make" else folder
    command = [*known[words[0]], *words[1:]]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of this Python, for scripts
    environment = os.environ | {"PATH": path}
    ran = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=3000, env=environment)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("block", [pytest.param(b, id=b.name) for b in BLOCKS])
def test_a_block_s_commands_and_files_exist_and_its_mark_has_a_reason(block: Block) -> None:
    assert not block.mark or any(block.mark.startswith(m) and len(block.mark) > len(m) + 8 for m in MARKS), block.mark
    faults = [fault for command in block.commands for fault in _faults(command)]
    assert not faults


def _faults(command: str) -> list[str]:
    """Return what a command line names and is not there: subcommands, options, make targets, scripts of the project."""
    words = shlex.split(command, comments=True)
    faults = [f"no file {word}" for word in words if word.startswith(("benchmarks/", "tests/", "examples/"))
              and not (ROOT / word).exists()]  # fmt: skip
    if "ringlite" in words or "ringlite_cli" in words:
        at = words.index("ringlite" if "ringlite" in words else "ringlite_cli")
        faults += _faults_of_ringlite(words[at + 1 :])
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        faults += [f"no target {word}" for word in words[1:] if "=" not in word and word not in targets]
    return faults


def _faults_of_ringlite(words: list[str]) -> list[str]:
    command = typer.main.get_command(app)
    words = list(words)
    while hasattr(command, "commands") and words and not words[0].isupper():
        name = words.pop(0)
        if name.startswith("-"):
            return [] if name in ("--help", "-h", "--version") else [f"no option {name}"]
        if name not in command.commands:
            return [f"no command {name}"]
        command = command.commands[name]
    known = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [f"{command.name} has no {option}" for option in options if option not in known]


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in pages()])
def test_commands_in_the_text_exist(page: Path) -> None:
    said = [code for code in inline_code(page) if re.match(r"(ringlite|make|python benchmarks/\S+) ?[a-z-]*", code)]
    said = [code for code in said if not code.startswith(("ringlite.", "ringlite_", "ringlite["))]
    assert {code: faults for code in said if " " in code and (faults := _faults(code))} == {}


def test_faults_of_commands_are_found() -> None:
    assert _faults("ringlite rnu toy") == ["no command rnu"]
    assert _faults("ringlite run toy --fresch --set a=b") == ["run has no --fresch"]
    assert _faults("accelerate launch -m ringlite_cli run toy --fresch") == ["run has no --fresch"]
    assert _faults("make dmo") == ["no target dmo"]
    assert _faults("python benchmarks/none.py") == ["no file benchmarks/none.py"]
    assert _faults("ringlite sandbox run FILE --tests TESTS.json") == []


def test_the_pages_have_commands_of_every_kind() -> None:
    assert len(BLOCKS) > 20
    assert {block.mark.split(":")[0] for block in BLOCKS} == {"", "not run", "full"}


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in pages()])
def test_yaml_and_python_on_a_page_can_be_read(page: Path) -> None:
    for block in blocks(page, "yaml"):
        yaml.safe_load(block.body)
    for block in blocks(page, "python"):
        ast.parse(block.body)
    for block in blocks(page):
        is_told = block.language or block.body.startswith("$ ") or "ringlite" not in block.body
        assert is_told, f"{block.name}: name the block's language, or begin a transcript by $"
