"""What a user sees while work goes on: plain lines, warnings, and progress that also reads well in a log file.

Every line may quote a model: control characters are shown, never sent.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from ringlite_cli.model_text import shown

LOG_EVERY = 15.0  # seconds between progress lines where there is no terminal


class Progress(Protocol):
    """A long piece of work under way."""

    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        """Says that `done` of `total` units are done; `note` is a short text such as `reward 0.41`."""


class Console:
    """Prints to standard output; progress goes to standard error, so that output can be piped."""

    def __init__(self) -> None:
        self._out = RichConsole(soft_wrap=True, highlight=False)
        self._err = RichConsole(stderr=True, soft_wrap=True, highlight=False)

    def say(self, text: str) -> None:
        self._out.print(shown(text), markup=False)

    def head(self, text: str) -> None:
        self._out.print(shown(text), style="bold", markup=False)

    def parts(self, *parts: tuple[str, str]) -> None:
        """Print pieces of one text, each (text, style)."""
        self._out.print(Text.assemble(*((shown(text), style) for text, style in parts)))

    def warn(self, text: str) -> None:
        self._err.print(f"warning: {shown(text)}", style="yellow", markup=False)

    def error(self, text: str) -> None:
        self._err.print(f"error: {shown(text)}", style="red", markup=False)

    @contextmanager
    def progress(self, title: str, total: float) -> Iterator[Progress]:
        """A bar on a terminal; elsewhere a line every few seconds."""
        if not sys.stderr.isatty():
            yield _Lines(self._err, title, total)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with RichProgress(*columns, console=self._err, transient=True) as bars:
            yield _Bar(bars, title, total)


class _Bar:
    def __init__(self, bars: RichProgress, title: str, total: float) -> None:
        self._bars, self._task = bars, bars.add_task(title, total=total, note="")

    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        self._bars.update(self._task, completed=done, total=total, note=shown(note))


class _Lines:
    def __init__(self, out: RichConsole, title: str, total: float) -> None:
        self._out, self._title, self._total = out, title, total
        self._started = self._printed = time.monotonic()

    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        self._total = self._total if total is None else total
        now = time.monotonic()
        if now - self._printed < LOG_EVERY and done < self._total:
            return
        self._printed = now
        self._out.print(
            f"{self._title} {done:g}/{self._total:g} after {now - self._started:.0f} s {shown(note)}", markup=False
        )
