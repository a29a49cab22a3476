"""A stage's console that others can follow: progress and warnings go to pulse.json too, and so do logged warnings."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringlite_cli.console import Console, Progress
from ringlite_cli.runs.pulse import Pulse
from ringlite_cli.stages.walk.forecast import Forecast
from ringlite_cli.terminal.screen import screen


class WatchedConsole(Console):
    """The console of one stage. forecast: of the whole run; None where nobody asks."""

    def __init__(self, folder: Path, forecast: Forecast | None = None) -> None:
        super().__init__()
        self._pulse, self._forecast = Pulse(folder), forecast

    def warn(self, text: str) -> None:
        super().warn(text)
        self._pulse.warn(text)

    @contextmanager
    def progress(self, title: str, total: float) -> Iterator[Progress]:
        with super().progress(title, total) as bar:
            yield _Watched(bar, self._pulse, title, total, self._forecast)

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Show warnings that the packages below log on the console."""
        logger = logging.getLogger("ringlite_cli")
        before, logger.handlers = logger.handlers, [_ToConsole(self)]
        try:
            yield
        finally:
            logger.handlers = before


class _Watched:
    def __init__(self, bar: Progress, pulse: Pulse, title: str, total: float, forecast: Forecast | None) -> None:
        self._bar, self._pulse, self._title, self._total, self._forecast = bar, pulse, title, total, forecast

    def update(self, done: float, total: float | None = None, note: str = "", share: float | None = None) -> None:
        self._total = self._total if total is None else total
        left = None
        if self._forecast:
            self._forecast.progress(share)
            found = self._forecast.left()
            screen().tell_whole(found.words(), in_lines=found.seconds is not None)
            left = found.row()
        self._bar.update(done, total, note)
        self._pulse.update(self._title, done, self._total, note, left)


class _ToConsole(logging.Handler):
    def __init__(self, console: WatchedConsole) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.warn(record.getMessage())
