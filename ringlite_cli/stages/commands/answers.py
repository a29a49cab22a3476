"""The JSON documents that commands answer with under --json; docs/terminal.md tells their keys.

FORMAT grows when a key changes its meaning or goes; new keys may come at any time.
"""

import json
from collections.abc import Mapping
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors, RingliteError, UserError
from ringlite_cli.runs.files import finite

FORMAT = 1


def answer(console: Console, command: str, data: Mapping[str, Any], text: str) -> None:
    """Answer a command: with `data` as JSON where that is asked for, else with `text`."""
    if console.wants_json:
        console.document(document(command, data))
    elif text:
        console.answer(text)


def document(command: str, data: Mapping[str, Any]) -> str:
    """Return the JSON document of an answer. NaN and infinities become null."""
    return json.dumps(finite({"format": FORMAT, "command": command, **data}), ensure_ascii=False, indent=1)


def error_document(error: Exception, exit_code: int) -> str:
    """Return the JSON document of a failure: its whole message, and what, where and what next as far as they are told.

    faults: each fault of a recipe by itself; [] for other failures.
    """
    format_message = getattr(error, "format_message", None)  # of a wrong command line
    message = format_message() if callable(format_message) else str(error)
    if not isinstance(error, RingliteError) and format_message is None:
        message = f"{type(error).__name__}: {message}"
    mendable = isinstance(error, UserError) and not isinstance(error, RecipeErrors)
    told = {name: getattr(error, name) if mendable else "" for name in ("what", "where", "hint")}
    faults = list(error.faults) if isinstance(error, RecipeErrors) else []
    data = {"message": message, **told, "faults": faults, "exit_code": exit_code}
    return json.dumps(finite({"format": FORMAT, "error": data}), ensure_ascii=False, indent=1)
