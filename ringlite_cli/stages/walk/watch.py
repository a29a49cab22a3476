"""A stage's console that others can follow: progress and warnings go to pulse.json too, and so do logged warnings."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringlite_cli.console import Console, Progress
from ringlite_cli.runs.pulse import Pulse


class WatchedConsole(Console):
    """The console of one stage."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._pulse = Pulse(folder)

    def warn(self, text: str) -> None:
        super().warn(text)
        self._pulse.warn(text)

    @contextmanager
    def progress(self, title: str, total: float) -> Iterator[Progress]:
        with super().progress(title, total) as bar:
            yield _Watched(bar, self._pulse, title, total)

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Shows what the rooms below log as warnings."""
        logger, handler = logging.getLogger("ringlite_cli"), _ToConsole(self)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class _Watched:
    def __init__(self, bar: Progress, pulse: Pulse, title: str, total: float) -> None:
        self._bar, self._pulse, self._title, self._total = bar, pulse, title, total

    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        self._total = self._total if total is None else total
        self._bar.update(done, total, note)
        self._pulse.update(self._title, done, self._total, note)


class _ToConsole(logging.Handler):
    def __init__(self, console: WatchedConsole) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.warn(record.getMessage())
