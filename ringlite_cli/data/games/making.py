"""Asks the program `maker.py` for reasoning-gym's games, their fields and their problems."""

import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from types import TracebackType
from typing import Any

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.recipe.curation import GYM

_PROGRAM = Path(__file__).with_name("maker.py")
_START_SECONDS = 300.0  # its imports may come from a slow disk
_SECONDS = 60.0
"""How long a game may take over one problem."""

GymRow = dict[str, Any]
"""{"question", "answer", "metadata"}, or {"failed": why}."""
_answered: dict[str, GymRow] = {}
"""What the installed version said of its games and their difficulties, by the question as JSON: it says it again."""


def is_installed() -> bool:
    """Return whether reasoning-gym is here."""
    return importlib.util.find_spec("reasoning_gym") is not None


def installed_version() -> str:
    """Return the version of reasoning-gym that is installed; '' for none."""
    with suppress(PackageNotFoundError):
        return version(GYM)
    return ""


def version_file() -> Path | None:
    """Return the file of the installed package that tells its version; None where there is none."""
    with suppress(PackageNotFoundError):
        return next((Path(str(f.locate())) for f in distribution(GYM).files or () if f.name == "METADATA"), None)
    return None


def require_installed(where: str) -> None:
    """Raise UserError, with the line that installs it, where reasoning-gym is missing."""
    if not is_installed():
        raise UserError(
            "its problems are made by reasoning-gym, which is not installed",
            where=where,
            hint="pip install 'ringlite[gym]' (it needs a C compiler)",
        )


class Maker:
    """The program, started when it is first asked what is not known; a context manager that ends it."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        """seconds: how long it may take over an answer."""
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    def __enter__(self) -> "Maker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def games(self) -> list[str]:
        """Return the names of the games that the installed version has."""
        return list(self._ask({"want": "games"})["games"])

    def fields(self, game: str) -> dict[str, str]:
        """Return the fields of a game's difficulty: name -> kind of value ("int", "float", "bool", "str", ...)."""
        return dict(self._ask({"want": "fields", "game": game})["fields"])

    def fault(self, game: str, config: Mapping[str, Any]) -> str:
        """Return what the game says against a difficulty; '' for nothing."""
        return str(self._ask({"want": "fault", "game": game, "config": config})["fault"])

    def difficulty(self, game: str, config: Mapping[str, Any]) -> GymRow:
        """Return all fields of a difficulty: those that are given, and the game's own values of the others."""
        return dict(self._ask({"want": "difficulty", "game": game, "config": config})["difficulty"])

    def rows(self, game: str, config: Mapping[str, Any], seed: int, first: int, count: int) -> list[GymRow]:
        """Return `count` problems of a seed, from number `first` on, the same in every process.

        Raises UserError where the game does not come to an end.
        """
        asked = {"want": "rows", "game": game, "config": config, "seed": seed, "first": first, "count": count}
        self._send(asked)
        return [self._next(asked) for _ in range(count)]

    def close(self) -> None:
        """End the program."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _ask(self, asked: Mapping[str, Any]) -> GymRow:
        """Answer from what was said in this process before, else ask the program, which may have to start for it."""
        key = json.dumps(asked, sort_keys=True)
        if key not in _answered:
            self._send(asked)
            _answered[key] = self._next(asked)
        return _answered[key]

    def _send(self, asked: Mapping[str, Any]) -> None:
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
        except OSError:
            pass  # it has ended: the answer says why

    def _start(self) -> subprocess.Popen[str]:
        self._answers = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        threading.Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()
        self._send({"want": "games"})
        self._wait(_START_SECONDS, {"want": "games"})
        return self._process

    def _next(self, asked: Mapping[str, Any]) -> GymRow:
        return self._wait(self._seconds, asked)

    def _wait(self, seconds: float, asked: Mapping[str, Any]) -> GymRow:
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            self.close()
            raise UserError(
                f"reasoning-gym does not come to an end within {seconds:.0f} s for this difficulty",
                where=f"gym.{asked.get('game', '')}".rstrip("."),
                hint="give it another difficulty, or take the game out",
            ) from None
        if not line:
            code = self._process.wait() if self._process else None
            self.close()
            raise WorkFailed(
                f"the process that makes reasoning-gym's problems ended with {code}",
                hint=f"try it: {sys.executable} -c 'import reasoning_gym'",
            )
        answer: GymRow = json.loads(line)
        return answer


def _listen(process: subprocess.Popen[str], answers: "queue.SimpleQueue[str]") -> None:
    """Put every line of the program into the queue, and '' at its end."""
    assert process.stdout is not None
    with suppress(ValueError):  # closed
        for line in process.stdout:
            answers.put(line)
    answers.put("")
