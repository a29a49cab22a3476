"""Turns pydantic's errors into messages of the form `key: what; what next`."""

import re
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from pydantic import BaseModel

from ringlite_cli.errors import near

Elsewhere = Callable[[str, list[str]], str]
"""(a key that is unknown, the keys that may stand there) -> where it belongs, in words; "" where nobody knows."""

_IN_WORDS = {
    "int_parsing": "a whole number is needed",
    "int_type": "a whole number is needed",
    "int_from_float": "a whole number is needed",
    "float_parsing": "a number is needed",
    "float_type": "a number is needed",
    "bool_parsing": "true or false is needed",
    "bool_type": "true or false is needed",
    "missing": "this key is needed, and it is missing",
}
_MAPPING = ("model_type", "model_attributes_type", "dict_type", "mapping_type")
_LIST = ("list_type", "tuple_type")
_BY_DOMAIN = ("rows", "mix", "domain_mix", "prompt_suffix")
_SHORT_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKmM])\s*")
_GROUPED_NUMBER = re.compile(r"\s*\d{1,3}(?:[,' ]\d{3})+\s*")


def fault_message(error: Any, model: type[BaseModel], prefix: str = "", elsewhere: Elsewhere | None = None) -> str:
    """One fault as `key: what; what next`. elsewhere: says where a key belongs that is unknown in its section."""
    loc = [str(part) for part in error["loc"] if not _is_tag(str(part))]
    parents = ".".join(part for part in ([prefix] if prefix else []) + loc[:-1])
    if error["type"] == "extra_forbidden":
        fields = fields_at(model, loc[:-1])
        otherwise = f"known keys: {', '.join(fields)}" if fields else ""
        hint = (elsewhere(loc[-1], fields) if elsewhere else "") or near(loc[-1], fields, otherwise)
        what = f"{loc[-1]!r} is not a key here" + (f"; {hint}" if hint else "")
        return (f"{parents}: " if parents else "") + what
    where = ".".join(part for part in ([prefix] if prefix else []) + loc)
    what = _what(error, fields_at(model, loc))
    return f"{where}: {what}" if where else what


def fault_messages(
    errors: Iterable[Any], model: type[BaseModel], prefix: str = "", elsewhere: Elsewhere | None = None
) -> list[str]:
    """All faults of a section, one for each place: of a value that may be one thing or another, what it most likely is.

    Arguments as for `fault_message`.
    """
    found: dict[str, str] = {}
    words: set[str] = set()  # places of sections that may be a word too, which they are not
    for error in errors:
        loc = [str(part) for part in error["loc"]]
        place = ".".join(part for part in loc if not _is_tag(part))
        if ":" in place.rpartition(".")[2] and error.get("input") in (None, loc[-2] if len(loc) > 1 else None):
            key = next(part for part in reversed(loc) if ":" in part)
            name, _, value = key.partition(":")
            parents = ".".join([*([prefix] if prefix else []), *(p for p in loc[: loc.index(key)] if not _is_tag(p))])
            found[place] = f"{parents}: {key!r} is one word to YAML; write `{name}: {value}`, with a space"
            continue
        known = found.get(place)
        message = fault_message(error, model, prefix, elsewhere)
        one_word = error["type"] == "literal_error"
        if one_word and isinstance(error.get("input"), dict):
            words.add(place)
        if known is None or (
            isinstance(error.get("input"), dict) if not one_word else isinstance(error.get("input"), str)
        ):
            found[place] = message
    better = {place for place in words if any(other.startswith(f"{place}.") for other in found)}
    return [message for place, message in found.items() if place not in better]


def _is_tag(part: str) -> bool:
    """Whether a part of a location is pydantic's name of an alternative, such as "(source)" or "list[str]"."""
    return part.startswith("(") or part == "[key]" or bool(re.fullmatch(r"[a-z-]+\[.*\]|constrained-\w+", part))


def _what(error: Any, fields: list[str]) -> str:
    """What is wrong with a value. fields: the keys of the section that is wanted, where one is."""
    kind, given = error["type"], error.get("input")
    if kind == "literal_error":
        return f"{_plain(error)}, not {given!r}" + _near_value(given, error)
    if kind == "too_short":
        least, found = error["ctx"]["min_length"], error["ctx"]["actual_length"]
        return f"at least {least} {'is' if least == 1 else 'are'} needed, not {found}"
    if kind == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    if kind == "missing":
        return _IN_WORDS[kind]
    if kind == "string_type":
        return f"text is needed, not {_as_yaml(given)}"
    if kind in _MAPPING:
        return f"a mapping of keys is needed, not {_shown(given)}" + _as_mapping(given, fields, str(error["loc"][-1]))
    if kind in _LIST:
        as_list = "; write [low, high]" if kind == "tuple_type" else f"; write [{given}]"
        return f"a list is needed, not {_shown(given)}" + (as_list if isinstance(given, str | int | float) else "")
    what = _IN_WORDS.get(kind) or _plain(error)
    if isinstance(given, str | int | float | bool | None):
        what += f", not {_shown(given)}"
    return what + number_hint(given)


def _as_yaml(given: Any) -> str:
    """A value that is no text, as YAML read it, and how it is written as text."""
    if isinstance(given, bool):
        return f"{str(given).lower()}; YAML reads yes, no, on and off so: put the word in quotes"
    if isinstance(given, int | float | date):
        return f"{given}; put it in quotes: '{given}'"
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], str):
        return f"a list; write {given[0]}"
    return _shown(given)


def number_hint(given: Any) -> str:
    """Return how to write a number that was given as 128k or 1,000; "" for anything else."""
    if not isinstance(given, str):
        return ""
    if short := _SHORT_NUMBER.fullmatch(given):
        thousand, binary = (10**3, 2**10) if short[2] in "kK" else (10**6, 2**20)
        number = float(short[1])
        return f"; write {round(number * thousand)}, or {round(number * binary)} (k = {binary:,})" if number else ""
    if _GROUPED_NUMBER.fullmatch(given):
        return f"; write {re.sub(r'[^0-9]', '', given)}"
    return ""


def _as_mapping(given: Any, fields: list[str], name: str) -> str:
    """How a value that is no mapping would be written as one. fields: the section's keys. name: of the key."""
    if isinstance(given, str) and given and "path" in fields:
        return f"; write {{path: {given}}}"
    if given is True and fields:
        return f"; write {{}} for its defaults, or some of {', '.join(fields)}"
    if given is False and fields:
        return f"; write null for none, or some of {', '.join(fields)}"
    if name in _BY_DOMAIN and isinstance(given, str | int | float):
        return f"; write {{math: {given}}}, by domain"
    return f"; its keys are {', '.join(fields)}" if fields else ""


def _near_value(given: Any, error: Any) -> str:
    known = re.findall(r"'([^']+)'", str(error["ctx"]["expected"]))
    hint = near(str(given).lower(), known) if isinstance(given, str) else ""
    return f"; {hint}" if hint else ""


def _plain(error: Any) -> str:
    """Pydantic's own words, as part of a sentence."""
    return str(error["msg"])[0].lower() + str(error["msg"])[1:]


def _shown(given: Any) -> str:
    if isinstance(given, bool):
        return str(given).lower()
    return "a list" if isinstance(given, list | tuple) else "nothing" if given is None else repr(given)


def fields_at(model: type[BaseModel], loc: list[str]) -> list[str]:
    """Return the keys of the section that a location inside `model` points to; [] where it is none."""
    current: Any = model
    for part in loc:
        field = current.model_fields.get(part) if isinstance(current, type) and issubclass(current, BaseModel) else None
        current = _section_in(field.annotation) if field else current  # a name of the user's own, or an index
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _section_in(annotation: Any) -> Any:
    """The section class inside an annotation such as `list[Source]` or `NewModel | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_section_in(arg) for arg in getattr(annotation, "__args__", ())]
    return next((f for f in found if f is not None), None)
