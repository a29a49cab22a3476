"""Installed packages that programs in a jail may import: which they are, and where their files lie."""

import functools
import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ringlite_cli.errors import UserError
from ringlite_cli.limits import PACKAGES as USUAL


def site_packages(names: Iterable[str]) -> dict[str, str]:
    """Top-level name -> path, for the files and folders of these distributions; not of what they depend on.

    Raises UserError for one that is not installed, unless it is of the usual ones.
    """
    places: dict[str, str] = {}
    for name in names:
        found = _files(name)
        if found is None and name not in USUAL:
            raise UserError(
                f"the package {name!r} is not installed",
                where="rewards.packages",
                hint=f"pip install {name}, or take it from the list",
            )
        places |= found or {}
    return places


def with_requirements(name: str) -> tuple[str, ...]:
    """A distribution and all that it requires here, extras aside. Raises PackageNotFoundError."""
    found, waiting = set[str](), [name]
    while waiting:
        each = canonicalize_name(waiting.pop())
        if each in found:
            continue
        found.add(each)
        wanted = map(Requirement, distribution(each).requires or ())
        waiting += [need.name for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    return tuple(sorted(found))


@functools.cache
def _files(name: str) -> dict[str, str] | None:
    try:
        installed = distribution(name)
    except (PackageNotFoundError, ValueError):
        return None
    own: dict[str, set[str]] = {}
    for file in installed.files or ():
        own.setdefault(file.parts[0], set()).update(file.parts[1:2])
    places: dict[str, str] = {}
    for top in sorted(own.keys() - {"..", "__pycache__"}):
        places |= _own_part(Path(str(installed.locate_file(top))), own[top])
    return places


def _own_part(top: Path, own: set[str]) -> dict[str, str]:
    """A distribution's part of a folder: all of it, or what is its own where others have installed there too."""
    if top.is_dir() and set(os.listdir(top)) - own - {"__pycache__"}:
        return {f"{top.name}/{each}": str(top / each) for each in sorted(own) if (top / each).exists()}
    return {top.name: str(top)} if top.exists() else {}
