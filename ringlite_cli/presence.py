"""What lies on the disk: only "not found" means that a thing is not there; any other error is raised.

pathlib's `exists`, `is_file` and `glob` take errors of a failing mount for "not there", each in some versions of
Python. Whoever decides by them whether to begin again would throw work away.
"""

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from ringlite_cli.errors import UserError

ABSENT = (FileNotFoundError, NotADirectoryError)
"""Errors that say that a file or folder is not there."""


def is_there(path: Path) -> bool:
    """Return whether a file or folder is there. Raises OSError where the file system cannot tell."""
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """Return whether a folder is there. Raises OSError where the file system cannot tell."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_file(path: Path) -> bool:
    """Return whether a file is there. Raises OSError where the file system cannot tell."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def check_is_file(path: Path, kind: str = "file") -> None:
    """Raise UserError where a path that was given is no file. kind: what the file is called, such as `data file`."""
    if path.is_dir():
        raise UserError(f"that is a folder, and a {kind} is wanted", where=str(path), hint="name the file in it")
    if not path.is_file():
        raise UserError(f"no such {kind}", where=str(path))


def entries(folder: Path, pattern: str = "*") -> list[Path]:
    """Return what a folder holds whose names fit a pattern, sorted; [] where there is no folder.

    Raises OSError where the folder cannot be read.
    """
    try:
        names = os.listdir(folder)
    except ABSENT:
        return []
    return sorted(folder / name for name in names if fnmatchcase(name, pattern))


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder. Raises OSError where a part of it cannot be read."""
    for place, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            if is_file(path := Path(place, name)):
                yield path


def is_taken(path: Path) -> bool:
    """Return whether anything has this name, a broken link too. Raises OSError where the file system cannot tell."""
    try:
        os.lstat(path)
    except ABSENT:
        return False
    return True


def _mode(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except ABSENT:
        return None


def _raise(error: OSError) -> None:
    raise error
