"""A wheel that is built from the source distribution works wherever pip puts it, far from the checkout."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from ringlite_cli.recipe.load import shipped_experiments, shipped_recipes

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PACKAGES = ("ringlite", "ringlite_cli")
LIBRARIES = Path(typer.__file__).parents[1]
"""Where the packages lie that ringlite needs. A checkout's own link there has no effect on the environments below."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the source distribution, and the wheel that is made from it; without a network."""
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    caches = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in (*PACKAGES, "docs", "examples", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=caches)
    for file in [each for each in ROOT.iterdir() if each.is_file()]:
        shutil.copy(file, tree)
    make = "import sys; from setuptools import build_meta as b; getattr(b, 'build_' + sys.argv[1])(sys.argv[2])"
    subprocess.run([sys.executable, "-c", make, "sdist", str(folder)], cwd=tree, check=True, capture_output=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
        sdist.extractall(folder / "unpacked", filter="data")
    unpacked = next((folder / "unpacked").iterdir())
    subprocess.run([sys.executable, "-c", make, "wheel", str(folder)], cwd=unpacked, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def test_the_wheel_holds_all_that_lies_in_the_packages_and_nothing_else(wheel: Path) -> None:
    files = [file for name in PACKAGES for file in (ROOT / name).rglob("*") if file.is_file()]
    source = {str(file.relative_to(ROOT)) for file in files if "__pycache__" not in file.parts}
    assert {"ringlite/py.typed", "ringlite_cli/py.typed", "ringlite_cli/shipped/launch/slurm.sh"} <= source
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == source


def test_the_source_distribution_holds_what_a_packager_needs(built: Path) -> None:
    top = next((built / "unpacked").iterdir())
    needed = ("LICENSE", "CITATION.cff", "CHANGELOG.md", "MANIFEST.in", "setup.py", "docs", "examples", "tests")
    assert [name for name in needed if not (top / name).exists()] == []


def test_what_the_wheel_says_of_itself(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel)
    info = next(name.rpartition("/")[0] for name in packed.namelist() if name.endswith("/METADATA"))
    said = email.message_from_bytes(packed.read(f"{info}/METADATA"))
    assert said["License-Expression"] == "Apache-2.0"
    assert packed.read(f"{info}/licenses/LICENSE").split()[:2] == [b"Apache", b"License"]
    assert said["Author"] is None
    assert said["Keywords"]
    assert "Typing :: Typed" in said.get_all("Classifier", [])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert (
        {"vllm", "gpu", "harness", "gym", "rouge", "semantic", "dev"}
        <= set(said.get_all("Provides-Extra", []))
        == set(extras)
    )
    text = said.get_payload()
    assert "# ringlite" in text
    assert re.findall(r"\]\((?!https?://|#)[^)]*\)", text) == [], "links that lead nowhere from a wheel"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment of its own, without what leads to the checkout."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "200", **more}


def make_venv(folder: Path, *, user: bool = False) -> Path:
    """Return the Python of a new environment. user: it sees the user's own packages too."""
    venv.create(folder, with_pip=False, system_site_packages=user, symlinks=True)
    return folder / "bin" / "python"


def see_libraries(python: Path) -> None:
    """Let an environment use the libraries of this one. Only after pip: it would find ringlite installed there."""
    site = next(python.parents[1].glob("lib/python*/site-packages"))
    (site / "libraries.pth").write_text(f"{LIBRARIES}\n")


def pip(wheel: Path, *arguments: str, **more: str) -> None:
    """Install the wheel alone, without a network.

    arguments: pip's, `install` among them. more: environment variables.
    """
    command = [sys.executable, "-m", "pip", *arguments, "--no-deps", "--no-index", str(wheel)]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it may lead to a checkout
    subprocess.run(command, check=True, capture_output=True, env=clean | more, timeout=300)


class Installed:
    """One way that ringlite was installed: how it is started, and where it must lie."""

    def __init__(self, python: Path, place: Path, more: dict[str, str], script: Path | None = None) -> None:
        self.python, self.place, self.more, self.script = python, place, more, script

    def __call__(self, *command: str, cwd: Path) -> str:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment(cwd, **self.more),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _in_venv(wheel: Path, folder: Path) -> Installed:
    """As pipx does: an environment for the tool alone, its script linked into a folder of the PATH."""
    python = make_venv(folder / "venv")
    pip(wheel, "--python", str(python), "install")
    see_libraries(python)
    (folder / "bin").mkdir()
    (folder / "bin" / "ringlite").symlink_to(folder / "venv" / "bin" / "ringlite")
    return Installed(python, folder / "venv", {"PATH": f"{folder / 'bin'}:/usr/bin:/bin"}, folder / "bin" / "ringlite")


def _in_target(wheel: Path, folder: Path) -> Installed:
    target = folder / "target"
    pip(wheel, "install", "--target", str(target))
    see_libraries(python := make_venv(folder / "plain"))
    return Installed(python, target, {"PYTHONPATH": str(target)})


def _for_the_user(wheel: Path, folder: Path) -> Installed:
    python, base = make_venv(folder / "venv", user=True), {"PYTHONUSERBASE": str(folder / "user")}
    pip(wheel, "--python", str(python), "install", "--user", **base)
    see_libraries(python)
    return Installed(python, folder / "user", base, folder / "user" / "bin" / "ringlite")


WAYS = {"venv": _in_venv, "target": _in_target, "user": _for_the_user}


@pytest.fixture(scope="module", params=WAYS)
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    return WAYS[request.param](wheel, tmp_path_factory.mktemp(request.param))


ALL_IN_ONE = """
import contextlib, io, json, sys
import ringlite, ringlite_cli
from ringlite_cli.__main__ import run
said = {"places": [ringlite.__file__, ringlite_cli.__file__]}
for words in json.loads(sys.argv[1]):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run(words)
    said[" ".join(words)] = [code, out.getvalue()]
print(json.dumps(said))
"""


def test_every_command_finds_what_was_shipped(installed: Installed, tmp_path: Path) -> None:
    recipes, experiments = list(shipped_recipes()), list(shipped_experiments())
    commands = [["recipes"], ["constraints"], ["launcher"], ["launcher", "fsdp2"], ["--version"], ["check", "demo"]]
    if installed.script and installed.script.is_symlink():  # in one place the rest too, which takes longer
        commands += [["plan", "toy"], *(["check", name] for name in recipes)]
    said = json.loads(installed(str(installed.python), "-c", ALL_IN_ONE, json.dumps(commands), cwd=tmp_path))
    assert all(Path(place).is_relative_to(installed.place) for place in said.pop("places"))
    assert {words: text for words, (code, text) in said.items() if code != 0} == {}
    listed = {line.split()[0] for line in said["recipes"][1].splitlines()}
    assert listed == {*recipes, *experiments}
    for words in ("constraints", "launcher fsdp2"):
        path = Path(said[words][1].strip())
        assert path.is_file()
        assert path.is_relative_to(installed.place)
    fonts = {tmp_path / each / "matplotlib" for each in (".cache", ".config")}  # which reasoning-gym imports
    assert [file for file in tmp_path.rglob("*") if file.is_file() and fonts.isdisjoint(file.parents)] == []


def test_the_command_and_the_modules_start_alike(installed: Installed, tmp_path: Path) -> None:
    starts = [[str(installed.python), "-m", name] for name in PACKAGES]
    starts += [[str(installed.script)]] if installed.script else []
    for start in starts:
        assert re.fullmatch(r"ringlite \d+\.\d+\.\d+\n", installed(*start, "--version", cwd=tmp_path))
