"""What a program answered, as a value of this side, and sets of such values compared. Nothing here hashes an answer.

The members of a Python set, or the keys of a dict, can be chosen so that all have one hash: building it then takes the
square of their number, in C and under the GIL, and a training process would stand still for minutes. So a set stays a
list (`Members`) and keys become text, whose hashes are seeded per process.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

from ringlite_cli.sandbox.guest import wire

_MATCHED = 300  # up to here every pairing is tried; beyond, both sides are sorted


class Members(list[Any]):
    """The members of a set, in no order."""


def decode(tagged: Any) -> Any:
    """The value behind its tagged form: sets as Members, keys as text, linked nodes and deques as lists."""
    if isinstance(tagged, list):
        return [decode(item) for item in tagged]
    if not isinstance(tagged, dict):
        return tagged
    tag = tagged.get("~")
    if tag is None:
        return {key: decode(item) for key, item in tagged.items()}
    if tag in ("set", "frozenset"):
        return Members(decode(item) for item in tagged["v"])
    if tag == "dict":
        return {text_key(decode(key)): decode(item) for key, item in tagged["v"]}
    if tag == "tuple":
        return tuple(decode(item) for item in tagged["v"])
    if tag == "ndarray":
        return decode(tagged["v"][1])
    if tag in ("list", "deque", "ListNode", "TreeNode"):
        return [decode(item) for item in tagged["v"]]
    return wire.unpack(tagged)


def text_key(key: Any) -> str:
    """A dict's key as JSON would have it. Raises ValueError for an integer of more digits than Python writes."""
    return key if isinstance(key, str) else str(key)


def same_members(expected: Collection[Any], actual: Collection[Any], same: Callable[[Any, Any], bool]) -> bool:
    """Return whether two collections of one size hold the same members, whatever their order, `same` two by two."""
    want, got = [_rank(member) for member in expected], [_rank(member) for member in actual]
    if Counter(map(repr, want)) == Counter(map(repr, got)):
        return True
    if not any(_inexact(member) for member in (*expected, *actual)):
        return False
    if len(want) > _MATCHED:
        pairs = zip(_sorted(expected, want), _sorted(actual, got), strict=True)
        return all(same(one, other) for one, other in pairs)
    left = list(actual)
    for one in expected:
        match = next((place for place, other in enumerate(left) if same(one, other)), None)
        if match is None:
            return False
        del left[match]
    return True


def _sorted(members: Collection[Any], ranks: list[Any]) -> list[Any]:
    listed = list(members)
    return [listed[place] for place in sorted(range(len(listed)), key=ranks.__getitem__)]


def _rank(value: Any) -> tuple[Any, ...]:
    """Return what sorts any two values, and is equal for values that are equal: 1, 1.0 and True have one."""
    if isinstance(value, bool | int):
        return (0, int(value))
    if isinstance(value, float):
        return (2, "nan") if math.isnan(value) else (0, int(value) if value.is_integer() else value)
    if isinstance(value, str):
        return (1, value)
    if isinstance(value, list | tuple):
        return (3, tuple(_rank(item) for item in value))
    if isinstance(value, dict):
        return (4, tuple(sorted((text_key(key), _rank(item)) for key, item in value.items())))
    return (5, type(value).__name__, str(value))


def _inexact(value: Any) -> bool:
    """Whether equality of ranks does not settle it: there are fractions, or kinds of numbers that have no rank."""
    if isinstance(value, list | tuple):
        return any(_inexact(item) for item in value)
    if isinstance(value, dict):
        return any(_inexact(item) for item in value.values())
    return not isinstance(value, str | int | None)


def show(value: Any) -> str:
    """A value for a detail, cut to 120 characters."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python will write
        text = f"a {type(value).__name__} too large to write out"
    return text if len(text) <= 120 else text[:117] + "..."
