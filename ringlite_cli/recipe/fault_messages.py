"""Turns pydantic's errors into messages of the form `key: what; what next`."""

import difflib
from typing import Any

from pydantic import BaseModel


def fault_message(error: Any, model: type[BaseModel], prefix: str = "") -> str:
    """One fault as `key: what; what next`."""
    loc = [str(part) for part in error["loc"] if not str(part).startswith("(")]  # "(source)" tags an alternative
    parents = ".".join(part for part in ([prefix] if prefix else []) + loc[:-1])
    if error["type"] == "extra_forbidden":
        fields = _fields_at(model, loc[:-1])
        near = difflib.get_close_matches(loc[-1], fields, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(fields)}" if fields else ""
        return (f"{parents}: " if parents else "") + f"{loc[-1]!r} is not a key here{hint}"
    where = ".".join(part for part in ([prefix] if prefix else []) + loc)
    what = str(error["msg"]).removeprefix("Value error, ")
    what = what if error["type"] == "value_error" else what[0].lower() + what[1:]
    given = error.get("input")
    if error["type"] not in ("missing", "value_error") and isinstance(given, str | int | float | bool | None):
        what += f", not {given!r}"
    return f"{where}: {what}" if where else what


def _fields_at(model: type[BaseModel], loc: list[str]) -> list[str]:
    """Field names of the section that a location inside `model` points to."""
    current: Any = model
    for part in loc:
        field = current.model_fields.get(part) if isinstance(current, type) and issubclass(current, BaseModel) else None
        current = _section_in(field.annotation) if field else current
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _section_in(annotation: Any) -> Any:
    """The section class inside an annotation such as `list[Source]` or `NewModel | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_section_in(arg) for arg in getattr(annotation, "__args__", ())]
    return next((f for f in found if f is not None), None)
