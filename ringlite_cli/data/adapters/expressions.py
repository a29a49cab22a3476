"""What a column mapping may name: a column, a path into nested values, or a text that joins several.

`answer` a column · `reward_model.ground_truth` a key of an object (or of JSON text) · `choices.0` an item of a list ·
`"{body} {question}"` a text with columns or paths in braces.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from ringlite_cli.data.adapters.fields import BadRow, Raw

_HOLE = re.compile(r"\{([^{}]+)\}")


class Absent:
    """The value of a column that the row does not have."""


ABSENT: Final = Absent()


def value_of(row: Raw, expression: str) -> Any:
    """The value that an expression names in a row; ABSENT where its column is not there, None where it is empty.

    A column whose whole name is the expression goes first. Of a joined text, empty parts are left out; it is ABSENT
    where all its columns are.
    """
    if expression in row:
        return row[expression]
    if _HOLE.search(expression):
        return _joined(row, expression)
    value: Any = row
    for step in expression.split("."):
        value = _step(value, step)
        if value is ABSENT or value is None:
            return value
    return value


def _joined(row: Raw, template: str) -> Any:
    found = {name: value_of(row, name) for name in _HOLE.findall(template)}
    if all(value is ABSENT for value in found.values()):
        return ABSENT
    filled = {name: _text(name, value) for name, value in found.items()}
    if not any(map(str.strip, filled.values())):
        return None
    return _HOLE.sub(lambda hole: filled[hole[1]], template).strip()


def _text(name: str, value: Any) -> str:
    if value is ABSENT or value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise BadRow(f"{name!r} is a {type(value).__name__}, which can't be joined to a text")
    return str(value)


def _step(value: Any, step: str) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except ValueError:
            return ABSENT
    if isinstance(value, Mapping):
        return value.get(step, ABSENT)
    if isinstance(value, list | tuple) and re.fullmatch(r"-?\d+", step):
        place = int(step)
        return value[place] if -len(value) <= place < len(value) else ABSENT
    return ABSENT
