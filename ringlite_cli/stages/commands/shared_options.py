"""Options that commands share: --quiet, --verbose and, where a command answers with data, --json."""

from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ringlite_cli.terminal.screen import Mode
from ringlite_cli.terminal.session import session

QUIET, VERBOSE, JSON = "quiet", "verbose", "json"
_HELP = {
    QUIET: "say nothing but warnings, errors and what was asked for",
    VERBOSE: "show what other libraries print, too",
    JSON: "answer with one JSON document on standard output, errors too",
}


class SessionCommand(TyperCommand):
    """A command with --verbose, whose libraries print into a log."""

    flags: tuple[str, ...] = (VERBOSE,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _flags(self.flags)

    def invoke(self, ctx: Any) -> Any:
        """Run the command in a session of the screen."""
        with session(Mode(**{name: bool(ctx.meta.get(_key(name))) for name in self.flags})):
            return super().invoke(ctx)


class WorkingCommand(SessionCommand):
    """A command whose work is shown as it goes, unless it is quiet."""

    flags = (QUIET, VERBOSE)


class AnsweringCommand(SessionCommand):
    """A command that may answer with JSON."""

    flags = (QUIET, VERBOSE, JSON)


def share_options(
    app: typer.Typer, *, working: Collection[str], answering: Collection[str], others: Collection[str]
) -> None:
    """Give these commands of an app the shared options, and a session of the screen.

    Commands that talk with the user, or hand the terminal on, are in none of the three: what they print stays theirs.
    Raises KeyError for a name that no command has.
    """
    named = {info.name or _name_of(info.callback): info for info in app.registered_commands}
    for names, kind in ((working, WorkingCommand), (answering, AnsweringCommand), (others, SessionCommand)):
        for name in names:
            named[name].cls = kind


def _flags(names: tuple[str, ...]) -> list[Any]:
    """The options of these names, as parameters of a command that its function does not get."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def command(
        quiet: Annotated[bool, typer.Option("--quiet", "-q", help=_HELP[QUIET])] = False,
        verbose: Annotated[bool, typer.Option("--verbose", "-v", help=_HELP[VERBOSE])] = False,
        json: Annotated[bool, typer.Option("--json", help=_HELP[JSON])] = False,
    ) -> None: ...

    made = [each for each in typer.main.get_command(app).params if each.name in names]
    for each in made:
        each.expose_value, each.callback = False, _note
    return made


def _note(ctx: Any, parameter: Any, value: bool) -> bool:
    ctx.meta[_key(parameter.name)] = value
    return value


def _key(name: str) -> str:
    return f"ringlite.{name}"


def _name_of(callback: Callable[..., Any] | None) -> str:
    return callback.__name__.replace("_", "-") if callback else ""
