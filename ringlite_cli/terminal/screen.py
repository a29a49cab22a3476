"""The one screen of a process: text, bars and the run's log, so that none writes over another.

A command opens a session. In it descriptors 1 and 2 lead to a log, and what this module shows goes to where they led
before: nothing that a library prints reaches the terminal, unless the session is verbose.
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.text import Text

from ringlite_cli.beside import beside
from ringlite_cli.errors import RingliteError
from ringlite_cli.model_text import shown
from ringlite_cli.terminal.bars import FIRST, LATER, Bars, Lines
from ringlite_cli.terminal.capture import Capture
from ringlite_cli.terminal.run_log import RunLog, stamp

_POLL = 0.2
_PIPE_WIDTH = 200


@dataclass(frozen=True)
class Mode:
    """quiet: warnings and errors alone. verbose: what libraries print, too. json: one JSON document on stdout."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False


class _Output(RichConsole):
    """Rich's console, for which work goes on, and its log, where whoever reads its output is gone."""

    def on_broken_pipe(self) -> None:
        self.file = open(os.devnull, "w")  # noqa: SIM115


@dataclass(frozen=True)
class LastWords:
    """The end of a log, for whoever has to say why a command failed. path: None for a log without a file."""

    path: Path | None
    lines: list[str]


class Screen:
    """Where text, warnings and progress go."""

    def __init__(self, mode: Mode | None = None, capture: Capture | None = None) -> None:
        self.mode, self._capture = mode or Mode(), capture
        self.log: RunLog | None = capture.log if capture else None
        self.working = False  # a run is going on: lines tell the time
        self._before_log: list[tuple[str, str]] = []
        width = _width(capture)
        out, err = (capture.out, capture.err) if capture else (None, None)
        self._err = _Output(file=err, stderr=True, soft_wrap=True, highlight=False, width=width)
        self._out = _Output(file=out, soft_wrap=True, highlight=False, width=width)
        self._speaks = os.environ.get("RANK", "0") in ("", "0") or capture is None
        self._bars: Bars | None = None
        self._said = time.monotonic()
        self._lines: Lines | None = None  # the last progress, for a line that says what goes on
        self.whole, self._whole_in_lines = "", False
        self._tail: list[str] | None = None

    @property
    def has_bars(self) -> bool:
        """Return whether progress is shown as bars: on a terminal that can move its cursor."""
        file = self._err.file
        return file.isatty() and not self._err.is_dumb_terminal and not self.mode.quiet and self._speaks

    @property
    def log_path(self) -> Path | None:
        """The file of the log; None where there is none."""
        return self.log.path if self.log else None

    @property
    def stdout(self) -> Any:
        """The stream for a document that is all of the command's output."""
        return self._out.file

    def text(self, *parts: tuple[str, str], chatter: bool = True) -> None:
        """Show pieces of one text, each (text, style). chatter: it may be left out by a quiet command."""
        plain = "".join(shown(text) for text, _ in parts)
        self.note(plain)
        if not self._speaks or (chatter and self.mode.quiet):
            return
        to = self._err if self.mode.json or (self.has_bars and self._out.file.isatty()) else self._out
        to.print(Text.assemble(*self._time(), *((shown(text), style) for text, style in parts)))

    def aside(self, text: str, style: str = "", *, chatter: bool = True) -> None:
        """Show a text on standard error: a warning, an error, or progress."""
        self.note(text)
        if self._speaks and not (chatter and self.mode.quiet):
            self._err.print(Text.assemble(*self._time(), (shown(text), style)))

    def show(self, *made: RenderableType) -> None:
        """Show tables and texts of rich on standard output; a pipe has room for wide ones."""
        if self._speaks:
            out = self._out if self._out.is_terminal else RichConsole(file=self._out.file, width=_PIPE_WIDTH)
            out.print(*made, sep="\n", soft_wrap=False)

    def note(self, text: str) -> None:
        """Write a text into the log alone."""
        self._said = time.monotonic()
        if self.log is None or (self.log.path is None and self._capture is not None):
            self._before_log = [*self._before_log, (stamp(), text)][-1000:]
        else:
            self.log.line(shown(text))

    @contextmanager
    def progress(self, title: str, total: float | None) -> Iterator[Any]:
        """A piece of work under way: gives something to `update`."""
        lines = self._lines = Lines(self._progress_line, title, total or 0)
        if not self.has_bars:
            try:
                yield lines
            finally:
                lines.end()
            return
        bars = self._bars = self._bars or Bars(self._err, redirect=self._capture is None)
        bars.tell_whole(self.whole)
        task = bars.add(title, total)
        try:
            yield _Both(bars, task, lines)
        finally:
            bars.remove(task)
            lines.end()

    @contextmanager
    def life(self, title: str) -> Iterator[None]:
        """Show during the block that work goes on, also where nothing else is said: imports and loading take long."""
        if self.has_bars:
            bars = self._bars = self._bars or Bars(self._err, redirect=self._capture is None)
            task = bars.add(title, None)
            try:
                yield
            finally:
                bars.remove(task)
            return
        self._lines = None
        with beside(partial(self._beat, title), "still-at-work"):
            yield

    def tell_whole(self, text: str, *, in_lines: bool = True) -> None:
        """Set the line about the whole run, which stands below the bars and, `in_lines`, behind lines of progress."""
        self.whole, self._whole_in_lines = text, in_lines
        if self._bars:
            self._bars.tell_whole(text)

    @contextmanager
    def log_to(self, path: Path, title: str) -> Iterator[None]:
        """Keep all that is said, and in a session all that is printed, in a file: from now until another is given.

        Text from before goes there first. A file that can't be opened is borne.
        """
        self._open_log(path, title)
        self.working = True
        try:
            yield
        except BaseException as error:
            self._note_failure(error)
            raise
        finally:
            self.working, self.whole = False, ""
            if self._capture is None and self.log is not None:
                self.log.close()
                self.log = None

    def words(self) -> LastWords | None:
        """Return the end of the log, before what was written there of a failure."""
        if self.log is None:
            return None
        return LastWords(self.log.path, self.log.last_lines() if self._tail is None else self._tail)

    def end(self) -> None:
        """Close the log."""
        if self.log is not None:
            self.log.close()

    def show_news(self) -> None:
        """Show what others have printed since the last time, and keep the log within its bounds."""
        log = self._capture.log if self._capture else None
        if log is None:
            return
        if self.mode.verbose and self._speaks and (news := log.news()):
            self._err.print(Text(shown(news.rstrip("\n")), style="dim"))
        log.trim()

    def _open_log(self, path: Path, title: str) -> None:
        earlier = self.log
        try:
            log = RunLog(path)
        except OSError:
            return
        log.add(f"---- {stamp()} {time.strftime('%Z')} {title}\n".encode("utf-8", "replace"), ours=True)
        for when, text in self._before_log:
            log.line(shown(text), when)
        if earlier is not None and earlier.path is None:
            self.show_news()
            log.add(earlier.text(), ours=True)
        self.log, self._before_log = log, []
        if self._capture:
            self._capture.into(log)
        if earlier is not None:
            earlier.close()

    def _note_failure(self, error: BaseException) -> None:
        if isinstance(error, RingliteError):
            self.note(f"error: {error}")
        elif isinstance(error, Exception):
            self._tail = self.log.last_lines() if self.log else None
            self.note("".join(traceback.format_exception(error)))

    def _progress_line(self, text: str) -> None:
        line = f"{text}; {self.whole}" if self.whole and self._whole_in_lines else text
        if self.has_bars:
            self.note(line)
        else:
            self.aside(line)

    def _beat(self, title: str, over: threading.Event) -> None:
        began = time.monotonic()
        while not over.wait(_POLL):
            now = time.monotonic()
            if now - self._said >= (FIRST if now - began < 60 else LATER):
                if self._lines and self._lines.catch_up():
                    continue
                note = f" ({self._lines.note})" if self._lines and self._lines.note else ""
                self.aside(f"{title}: still at work after {now - began:.0f} s{note}")

    def _time(self) -> list[tuple[str, str]]:
        return [(time.strftime("%H:%M:%S "), "dim")] if self.working else []


class _Both:
    """A bar, and lines for the log."""

    def __init__(self, bars: Bars, task: Any, lines: Lines) -> None:
        self._bars, self._task, self._lines = bars, task, lines

    def update(self, done: float, total: float | None = None, note: str = "", share: float | None = None) -> None:
        self._bars.update(self._task, done, total, note)
        self._lines.update(done, total, note)


_screen: Screen | None = None


def swap(new: Screen | None) -> Screen | None:
    """Make a screen the process's, and return the one before; None for none."""
    global _screen
    before, _screen = _screen, new
    return before


def screen() -> Screen:
    """Return the screen of the session; one of its own where there is none."""
    return _screen or Screen()


@contextmanager
def log_to(path: Path, title: str) -> Iterator[None]:
    """Keep all that is said in a file during the block, as `Screen.log_to` does; without a session that alone."""
    ours = screen()
    before = swap(ours)
    try:
        with ours.log_to(path, title):
            yield
    finally:
        swap(before)


def warn(text: str) -> None:
    """Show a warning."""
    screen().aside(f"warning: {text}", "yellow", chatter=False)


def last_words(text: str) -> None:
    """Write a message to where standard error led at first, at once: the process is about to end without more."""
    stream = screen()._err.file
    with suppress(OSError, ValueError):
        stream.write(f"{shown(text)}\n")
        stream.flush()


def _width(capture: Capture | None) -> int | None:
    """The terminal's width, where Rich, which asks the standard descriptors, would not find it; else None."""
    if capture is None or (sys.__stdin__ is not None and not sys.__stdin__.closed and sys.__stdin__.isatty()):
        return None
    for stream in (capture.err, capture.out):
        with suppress(OSError, ValueError, AttributeError):
            return os.get_terminal_size(stream.fileno()).columns
    return None
