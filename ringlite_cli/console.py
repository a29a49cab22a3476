"""What a user sees while work goes on: plain lines, warnings, and progress that also reads well in a log file.

Every line may quote a model: control characters are shown, never sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import RenderableType

from ringlite_cli.terminal import screen as terminal


class Progress(Protocol):
    """A long piece of work under way."""

    def update(self, done: float, total: float | None = None, note: str = "", share: float | None = None) -> None:
        """Say that `done` of `total` units are done; `note` is a short text such as `reward 0.41`.

        share: of the whole stage that is done, from 0 to 1; None where it is not known.
        """


class Console:
    """Prints to standard output; progress goes to standard error, so that output can be piped.

    All consoles of a process share one screen (ringlite_cli.terminal.screen): bars and text never collide.
    """

    def say(self, text: str) -> None:
        terminal.screen().text((text, ""))

    def show(self, *made: RenderableType) -> None:
        """Print tables and texts of rich; the caller has shown() what they quote. A pipe has room for wide tables."""
        terminal.screen().show(*made)

    def head(self, text: str) -> None:
        terminal.screen().text((text, "bold"))

    def parts(self, *parts: tuple[str, str]) -> None:
        """Print pieces of one text, each (text, style)."""
        terminal.screen().text(*parts)

    def doing(self, text: str) -> None:
        """Say on standard error what is being done; the line may go, the output does not need it."""
        terminal.screen().aside(text, "dim")

    def answer(self, text: str, style: str = "") -> None:
        """Print what the command was asked for: a quiet one prints it too."""
        terminal.screen().text((text, style), chatter=False)

    def warn(self, text: str) -> None:
        terminal.warn(text)

    def error(self, text: str) -> None:
        terminal.screen().aside(f"error: {text}", "red", chatter=False)

    @property
    def wants_json(self) -> bool:
        """Return whether the command is to answer with a JSON document and nothing else."""
        return terminal.screen().mode.json

    def document(self, text: str) -> None:
        """Write a JSON document on standard output."""
        stream = terminal.screen().stdout
        stream.write(f"{text}\n")
        stream.flush()

    @contextmanager
    def progress(self, title: str, total: float) -> Iterator[Progress]:
        """A bar on a terminal; elsewhere lines, often at first and rarer later."""
        with terminal.screen().progress(title, total) as shown:
            yield shown
