"""Files and folders that appear whole or not at all."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringlite_cli.presence import ABSENT, is_taken


@contextmanager
def whole(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Give a place beside `path` to write to; it takes the path's name when the block ends well.

    What stood at `path` is replaced, and stays where the block fails. The place of a file is this process's own, so
    several processes may write the same file; that of a folder, which is made here, is `<name>.partial`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial" if folder else f"{path.name}.{os.getpid()}.partial")
    if folder:
        remove(partial)
        partial.mkdir()
    try:
        yield partial
        if folder:
            remove(path)
        partial.replace(path)
    finally:
        remove(partial)


def free_name(path: Path) -> Path:
    """Return the path, or with the first number from 2 on behind it that no file or folder has."""
    name, number = path, 1
    while is_taken(name):
        number += 1
        name = path.with_name(f"{path.name}-{number}")
    return name


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    try:
        is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    except ABSENT:
        return
    if is_folder:
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
