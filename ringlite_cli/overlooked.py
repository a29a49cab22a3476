"""Errors of a file system that libraries take for "not there": found while they load a model or a checkpoint.

transformers asks `os.path.isfile` whether a folder has a generation config, an optimizer's state, random numbers, and
goes on without where the answer is no. `os.path` gives that answer to every error. Training would go on with momentum
lost, or with another end token, and nobody would hear of it.
"""

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DISK_ERRORS = frozenset(
    getattr(errno, name)
    for name in ("EIO", "ESTALE", "EREMOTEIO", "EUCLEAN", "ENXIO", "ENODEV", "EMFILE", "ENFILE", "ENOLCK", "EFBIG")
    if hasattr(errno, name)
)
"""Errors by which the file system, and no program, is at fault."""
_ASKED = ((os, "stat"), (os, "lstat"), (os, "scandir"), (os, "listdir"), (io, "open"), (builtins, "open"))


class Overlooked:
    """Notes errors of the file system below some folders, during a block or until `check`.

    Raises the first of them at the end, in place of what came of it.
    """

    def __init__(self, *folders: Path | str | None) -> None:
        self._folders = tuple(os.path.abspath(folder) for folder in folders if folder)
        self._before: list[tuple[Any, str, Any]] = []
        self.errors: list[OSError] = []

    def __enter__(self) -> Self:
        for module, name in _ASKED:
            plain = getattr(module, name)
            self._before.append((module, name, plain))
            setattr(module, name, self._noting(plain))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop()
        if self.errors and (kind is None or issubclass(kind, Exception)):
            raise self.errors[0] from error

    def check(self) -> None:
        """Stop looking, and raise what was noted."""
        self._stop()
        if self.errors:
            raise self.errors.pop(0)

    def _stop(self) -> None:
        while self._before:
            module, name, plain = self._before.pop()
            setattr(module, name, plain)

    def _noting(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, **named: Any) -> Any:
            try:
                return plain(*args, **named)
            except OSError as error:
                path = args[0] if args else named.get("path", named.get("file"))
                if error.errno in DISK_ERRORS and self._is_ours(path):
                    self.errors.append(error)
                raise

        return asked

    def _is_ours(self, path: Any) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        whole = os.path.abspath(os.fspath(path))
        return any(whole == folder or whole.startswith(folder + os.sep) for folder in self._folders)
