"""One small adapter a schema: a function from a raw row to the fields of a Problem, which raises BadRow.

A file here that has `read` and `DOMAIN` is an adapter of its own name. `EDUCATION` in it is the level that its data set
is written for, as a whole.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ringlite_cli.data.adapters import chat
from ringlite_cli.data.adapters.columns import Columns, mapped
from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw
from ringlite_cli.errors import UserError, near
from ringlite_cli.own_code import is_own, load

Adapter = Callable[[Raw], Fields]


def _found() -> dict[str, ModuleType]:
    names = sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py"))
    modules = {name: import_module(f"{__name__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "read") and hasattr(module, "DOMAIN")}


_MODULES = _found()
ADAPTERS: dict[str, Adapter] = {name: module.read for name, module in _MODULES.items()}
OPEN_SCHEMAS = (None, "problems", "chat")
"""Schemas whose rows may lack an answer by intent; a published data set's row without one is faulty."""
EDUCATION: dict[str, str] = {name: m.EDUCATION for name, m in _MODULES.items() if hasattr(m, "EDUCATION")}
"""Adapter -> the level that its data set is written for, as a whole."""


def choose(name: str | None, columns: Mapping[str, str], where: str, verifier: str = "") -> tuple[Adapter, str]:
    """The adapter that a source asks for and the domain of its rows; ringlite's own schema where it asks for none.

    verifier: the one that the source names for all its rows; it decides how a mapped answer is read.

    An adapter of the user's own (`module:object`) has its domain from `DOMAIN` in its module, or general.
    """
    if columns:
        return mapped(columns, verifier), "general"
    name = name or "problems"
    if is_own(name):
        read = load(name, calls=True)
        return _OwnAdapter(name, read), str(getattr(sys.modules.get(read.__module__), "DOMAIN", "general"))
    if name not in ADAPTERS:
        hint = near(name, ADAPTERS, f"known: {', '.join(ADAPTERS)}; or give `columns:`")
        raise UserError(f"no adapter {name!r}", where=where, hint=hint)
    return ADAPTERS[name], _MODULES[name].DOMAIN


class _OwnAdapter:
    """An adapter of the user's own; what it raises on a row, or gives that is no problem, is BadRow."""

    def __init__(self, name: str, read: Adapter) -> None:
        self._name, self._read = name, read

    def __call__(self, row: Raw) -> Fields:
        try:
            fields = self._read(row)
        except BadRow:
            raise
        except Exception as error:
            raise BadRow(f"{self._name} raised {type(error).__name__}: {error}") from None
        known = Fields.__annotations__
        if not isinstance(fields, dict) or not isinstance(fields.get("prompt"), str):
            raise BadRow(f"{self._name} gave no dict with a text `prompt`")
        if unknown := fields.keys() - known.keys():
            raise BadRow(f"{self._name} gave {sorted(unknown)[0]!r}, which is none of {', '.join(known)}")
        return fields


def every_turn(adapter: Adapter, row: Raw) -> list[Fields]:
    """The fields of every answered turn of a row's conversation, in order; of other rows, the row's."""
    if isinstance(adapter, Columns):
        return adapter.every(row)
    return chat.every(row) if adapter is chat.read else [adapter(row)]


__all__ = ["ADAPTERS", "EDUCATION", "OPEN_SCHEMAS", "Adapter", "BadRow", "Fields", "choose", "every_turn"]
