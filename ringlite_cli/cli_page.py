"""Every command as a page: `python -m ringlite_cli.cli_page > docs/cli.md`. A test holds that it is current."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from ringlite_cli.cli import app

_HEAD = """# Commands

Written by `python -m ringlite_cli.cli_page > docs/cli.md` from the command line itself.

`ringlite COMMAND --help` prints the same in the terminal. RECIPE is a YAML file, or the name of a shipped recipe; RUN
is a run's folder, such as `runs/demo`. Exit codes: 0 done, 1 the work failed, 2 the input is wrong, 130 interrupted.
"""


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *(line for name, command in _commands("", _root()) for line in _section(name, command))])


def _root() -> Any:
    """Return the group of all commands, as click sees it."""
    return typer.main.get_command(app)


def _commands(before: str, group: Any) -> Iterator[tuple[str, Any]]:
    """Yield the full name and the command of all that are not hidden, those of groups after the group's name."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _commands(f"{before}{name} ", command)
        else:
            yield f"{before}{name}", command


def _section(name: str, command: Any) -> list[str]:
    context = typer.Context(command, info_name=f"ringlite {name}")
    lines = [f"## ringlite {name}", "", _one_line(command.help), "", "```text", _usage(command, context), "```", ""]
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [_row(*record) for record in records if record]
    return [*lines, "| | meaning |", "|---|---|", *rows, ""] if rows else lines


def _usage(command: Any, context: typer.Context) -> str:
    pieces = command.collect_usage_pieces(context)
    return " ".join([context.command_path, *(re.sub(r"^\{(.*)\}(\.\.\.)?$", r"\1", piece) for piece in pieces)])


def _row(names: str, meaning: str) -> str:
    cells = f"`{names}`", _one_line(meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    print(page(), end="")
