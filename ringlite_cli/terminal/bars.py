"""Progress on a terminal as bars below the text, and elsewhere as lines that come often at first and rarer later."""

import time
from collections.abc import Callable, Iterable

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from ringlite_cli.model_text import shown

NARROW, WIDE = 60, 90
"""Columns of a terminal below which bars are left out, and from which notes are shown beside them."""
FIRST, LATER = 5.0, 15.0
"""Seconds between two lines of one piece of work, or of signs of life: in its first minute, and later."""


class Bars:
    """The bars below the text, and a line about the whole run."""

    def __init__(self, console: RichConsole, redirect: bool) -> None:
        self._rows = _Rows(
            *_columns(console.width),
            console=console,
            transient=True,
            redirect_stdout=redirect,
            redirect_stderr=redirect,
            expand=False,
        )
        self._open = 0

    def tell_whole(self, text: str) -> None:
        """Set the line about the whole run, which stands last; "" for none."""
        self._rows.whole = shown(text)

    def add(self, title: str, total: float | None) -> TaskID:
        """Show one more bar. total: None for work of unknown length."""
        self._open += 1
        if self._open == 1:
            self._rows.start()
        return self._rows.add_task(shown(title), total=total, note="")

    def update(self, task: TaskID, done: float, total: float | None, note: str) -> None:
        self._rows.update(task, completed=done, total=total, note=shown(note))

    def remove(self, task: TaskID) -> None:
        """Take a bar away; the last one frees the screen."""
        self._rows.remove_task(task)
        self._open -= 1
        if self._open == 0:
            self._rows.stop()


class _Rows(Progress):
    whole = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.whole:
            yield Text(self.whole, style="dim", no_wrap=True, overflow="ellipsis")


class _Count(MofNCompleteColumn):
    """`3/12`; nothing for work of unknown length."""

    def render(self, task: "object") -> Text:
        return super().render(task) if getattr(task, "total", None) else Text("")  # type: ignore[arg-type]


def _columns(width: int) -> list[ProgressColumn]:
    def one(ratio: int | None = None) -> Column:
        return Column(no_wrap=True, overflow="ellipsis", ratio=ratio)

    title = TextColumn("{task.description}", table_column=one())
    if width < NARROW:
        return [title, _Count(), TimeElapsedColumn()]
    columns = [SpinnerColumn(), title, BarColumn(bar_width=20), _Count(), TimeElapsedColumn(), TimeRemainingColumn()]
    return columns if width < WIDE else [*columns, TextColumn("{task.fields[note]}", table_column=one())]


class Lines:
    """Progress of one piece of work as lines, for a log or a pipe. note: of the last update."""

    def __init__(self, write: Callable[[str], None], title: str, total: float) -> None:
        self._write, self._title, self._total, self._done = write, title, total, 0.0
        self._started = self._printed = time.monotonic()
        self._pending, self.note = "", ""

    def update(self, done: float, total: float | None = None, note: str = "", share: float | None = None) -> None:
        """Write a line where the last is some seconds old, or where another part of the work begins."""
        other = done < self._done or total not in (None, self._total)
        self._total, self._done, self.note = self._total if total is None else total, done, note
        now = time.monotonic()
        spent = now - self._started
        self._pending = f"{self._title} {done:g}/{self._total:g} after {spent:.0f} s" + (f": {note}" if note else "")
        if now - self._printed >= (1.0 if other else FIRST if spent < 60 else LATER):
            self._print(now)

    def end(self) -> None:
        """Write the last update where it was held back."""
        self.catch_up()

    def catch_up(self) -> bool:
        """Write the last update if it was held back; return whether it was. Another thread may ask for it."""
        if not self._pending:
            return False
        self._print(time.monotonic())
        return True

    def _print(self, now: float) -> None:
        self._printed = now
        text, self._pending = self._pending, ""
        self._write(text)
