"""One small adapter a schema: a function from a raw row to the fields of a Problem, which raises BadRow."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from ringlite_cli.data.adapters import (
    aime,
    amc,
    apps,
    bigmath,
    chat,
    codecontests,
    dapo,
    deepmath,
    deepscaler,
    gsm8k,
    humaneval,
    leetcode,
    math,
    mbpp,
    minerva,
    numinamath,
    openr1,
    problems,
    scp116k,
    taco,
)
from ringlite_cli.data.adapters.columns import Columns, mapped
from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw
from ringlite_cli.errors import UserError

Adapter = Callable[[Raw], Fields]

_MODULES = {
    "gsm8k": gsm8k,
    "math": math,
    "aime": aime,
    "amc": amc,
    "minerva": minerva,
    "leetcode": leetcode,
    "humaneval": humaneval,
    "deepscaler": deepscaler,
    "bigmath": bigmath,
    "dapo": dapo,
    "deepmath": deepmath,
    "openr1": openr1,
    "numinamath": numinamath,
    "codecontests": codecontests,
    "taco": taco,
    "apps": apps,
    "mbpp": mbpp,
    "scp116k": scp116k,
    "chat": chat,
    "problems": problems,
}
ADAPTERS: dict[str, Adapter] = {name: module.read for name, module in _MODULES.items()}
OPEN_SCHEMAS = (None, "problems", "chat")
"""Schemas whose rows may lack an answer by intent; a published data set's row without one is faulty."""
EDUCATION = {
    "gsm8k": "grade school",
    "math": "high school competition",
    "aime": "high school olympiad",
    "amc": "high school competition",
    "minerva": "undergraduate",
    "scp116k": "undergraduate and above",
    "deepmath": "undergraduate and above",
    "deepscaler": "high school competition",
    "dapo": "high school competition",
    "leetcode": "programming interview",
    "apps": "programming contest",
    "taco": "programming contest",
    "codecontests": "programming contest",
    "humaneval": "first programs",
    "mbpp": "first programs",
}
"""The level that a data set is written for, as a whole."""


def choose(name: str | None, columns: Mapping[str, str], where: str) -> tuple[Adapter, str]:
    """The adapter that a source asks for and the domain of its rows; ringlite's own schema where it asks for none."""
    if columns:
        return mapped(columns), "general"
    name = name or "problems"
    if name not in ADAPTERS:
        close = get_close_matches(name, ADAPTERS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(ADAPTERS)}; or give `columns:`"
        raise UserError(f"no adapter {name!r}", where=where, hint=hint)
    return ADAPTERS[name], _MODULES[name].DOMAIN


def every_turn(adapter: Adapter, row: Raw) -> list[Fields]:
    """The fields of every answered turn of a row's conversation, in order; of other rows, the row's."""
    if isinstance(adapter, Columns):
        return adapter.every(row)
    return chat.every(row) if adapter is chat.read else [adapter(row)]


__all__ = ["ADAPTERS", "EDUCATION", "OPEN_SCHEMAS", "Adapter", "BadRow", "Fields", "choose", "every_turn"]
