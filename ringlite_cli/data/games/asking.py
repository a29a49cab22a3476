"""What is wrong with the games that a recipe names: their names, the fields of their difficulty, and its values."""

from collections.abc import Iterator, Mapping
from typing import Any

from ringlite_cli.data.games import GAMES
from ringlite_cli.data.games.drawing import read_options
from ringlite_cli.data.games.making import Maker, installed_version
from ringlite_cli.errors import UserError, near
from ringlite_cli.recipe.curation import Source

_COMPOSED = "composite"
_OF_SOURCE = {"size": "give the source's `rows`", "seed": "give the source's `seed`"}
_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "list": (list,)}
_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "list": "a list"}


def option_faults(source: Source) -> Iterator[str]:
    """Yield faults of a gym source's options, each as `key: what; what next`."""
    try:
        chosen = read_options(source.options)
    except UserError as error:
        yield str(error)
        return
    if chosen.prompt == "short":
        for name in source.gym or ():
            if name not in GAMES:
                hint = f"games that have are {', '.join(GAMES)}"
                yield f"options.prompt: {name} has no short form; {hint}; put it into a source of its own"


def game_faults(source: Source, maker: Maker) -> Iterator[str]:
    """Yield what the installed reasoning-gym has against a source's games, each as `key: what; what next`."""
    known = maker.games()
    for name, config in (source.gym or {}).items():
        where = f"gym.{name}"
        if name == _COMPOSED:
            yield f"{where}: it is a mixture of reasoning-gym's games; name these"
        elif name not in known:
            hint = near(name, known, f"it has {len(known)}, as {', '.join(g for g in GAMES if g in known)}")
            yield f"{where}: reasoning-gym {installed_version()} has no such game; {hint}"
        else:
            found = list(_field_faults(config or {}, maker.fields(name)))
            yield from (f"{where}.{fault}" for fault in found)
            if not found and (fault := maker.fault(name, config or {})):
                yield f"{where}: reasoning-gym refuses the difficulty ({fault}); mend it"


def _field_faults(config: Mapping[str, Any], fields: Mapping[str, str]) -> Iterator[str]:
    settable = [name for name in fields if name not in _OF_SOURCE]
    for name, value in config.items():
        if name in _OF_SOURCE:
            yield f"{name}: it is no part of the difficulty; {_OF_SOURCE[name]}"
        elif name not in fields:
            yield f"{name}: the game has no such field; {near(name, settable, 'its fields are ' + ', '.join(settable))}"
        elif not fields[name]:
            yield f"{name}: it takes an object of Python, which a recipe cannot give; take it out"
        elif not _fits(value, fields[name]):
            yield f"{name}: {value!r} is not {_WORDS[fields[name]]}"


def _fits(value: Any, kind: str) -> bool:
    if kind == "any" or isinstance(value, bool):
        return kind in ("any", "bool")
    return kind != "bool" and isinstance(value, _TYPES[kind])
