"""Values between processes that do not trust each other: tagged JSON, never pickle.

Plain values (None, bool, int, float, str, list, dict with string keys) are themselves; anything else is
`{"~": tag, "v": ...}`. A subclass of a plain type is sent as the plain type, so that an overridden `__eq__` stays
behind. Decoding builds only the types named here.
"""

import collections
import datetime
import decimal
import fractions
import sys
from collections.abc import Callable
from typing import Any

MAX_NODES = 200_000
_PLAIN = {type(None), bool, str, float}


class Unsendable(TypeError):
    """The value is not data: a class, a function, an object of the program's own."""


def pack(value: Any, other: Callable[[Any], dict[str, Any]] | None = None) -> Any:
    """The JSON form of `value`; `other` turns what is not data into a tagged dict. Raises Unsendable."""
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is float:
        return value
    if kind is int:
        return value if -(2**63) < value < 2**63 else _tag("int", hex(value))
    if kind is list:
        kinds = {*map(type, value)}
        if kinds <= _PLAIN or (kinds == {int} and min(value) >= -(2**63) and max(value) < 2**63):
            return value
        return [pack(v, other) for v in value]
    if kind is dict and all(type(k) is str and k != "~" for k in value):
        return {k: pack(v, other) for k, v in value.items()}
    return _pack_special(value, other)


def _tag(tag: str, value: Any) -> dict[str, Any]:
    return {"~": tag, "v": value}


def _pack_special(value: Any, other: Callable[[Any], dict[str, Any]] | None) -> Any:
    if isinstance(value, bool | int):
        return pack(int.__index__(value), other)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, dict):
        return _tag("dict", [[pack(k, other), pack(v, other)] for k, v in dict.items(value)])
    for base, walk in _SEQUENCES:
        if isinstance(value, base):
            items = [pack(v, other) for v in walk(value)]
            return items if base is list else _tag(base.__name__, items)
    if type(value) in (range, type({}.keys()), type({}.values()), type({}.items())):
        return _tag("list", [pack(v, other) for v in value])
    if isinstance(value, bytes | bytearray):
        return _tag("bytes" if isinstance(value, bytes) else "bytearray", bytes(value).hex())
    if isinstance(value, complex):
        return _tag("complex", [value.real, value.imag])
    if type(value) in _BY_TEXT:
        return _tag(type(value).__name__, value.isoformat() if hasattr(value, "isoformat") else str(value))
    linked = _numpy(value, other) or _linked(value, other)
    if linked is not None:
        return linked[0] if isinstance(linked, list) else linked
    if other is not None:
        return other(value)
    raise Unsendable(f"a value of type {type(value).__name__} is not data")


_SEQUENCES: tuple[tuple[type, Callable[[Any], Any]], ...] = (  # their own way to walk, whatever a subclass says
    (list, list.__iter__),
    (tuple, tuple.__iter__),
    (set, set.__iter__),
    (frozenset, frozenset.__iter__),
    (collections.deque, collections.deque.__iter__),
)
_BY_TEXT: dict[type, Callable[[str], Any]] = {
    decimal.Decimal: decimal.Decimal,
    fractions.Fraction: lambda text: fractions.Fraction(*map(int, text.split("/"))),  # no exponent: 1e999999999
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.date: datetime.date.fromisoformat,
}


def unpack(value: Any, other: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The value that `pack` packed; `other` receives dicts with a tag of its own."""
    if isinstance(value, list):
        return [unpack(v, other) for v in value]
    if not isinstance(value, dict):
        return value
    tag = value.get("~")
    if tag is None:
        return {k: unpack(v, other) for k, v in value.items()}
    if tag in _UNPACK:
        return _UNPACK[tag](value["v"], other)
    if other is None:
        raise Unsendable(f"unknown tag {tag!r}")
    return other(value)


def _numpy(value: Any, other: Callable[[Any], dict[str, Any]] | None) -> Any:
    """A numpy number, as Python's own in a list of one, or an array with its type; None for anything else."""
    numpy = sys.modules.get("numpy")
    if type(value).__module__ != "numpy" or numpy is None:
        return None
    if isinstance(value, numpy.generic):
        return [pack(value.item(), other)]
    if isinstance(value, numpy.ndarray):
        return _tag("ndarray", [str(value.dtype), pack(value.tolist(), other)])
    return None


def _array(pair: Any, other: Any) -> Any:
    """A numpy array of numbers or texts; the plain list where it holds anything else, or there is no numpy."""
    name, values = pair[0], unpack(pair[1], other)
    if not isinstance(name, str) or name.rstrip("0123456789") not in ("int", "uint", "float", "bool", "complex", "<U"):
        return values
    try:
        return __import__("numpy").array(values, dtype=name)
    except ImportError:
        return values


def _many(make: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda items, other: make([unpack(v, other) for v in items])


def _from_text(make: Callable[[str], Any]) -> Callable[[Any, Any], Any]:
    return lambda text, other: make(text)


_UNPACK: dict[str, Callable[[Any, Any], Any]] = {
    "int": lambda text, _: int(text, 16),
    "dict": lambda pairs, other: {unpack(k, other): unpack(v, other) for k, v in pairs},
    "list": _many(list),
    "tuple": _many(tuple),
    "set": _many(set),
    "frozenset": _many(frozenset),
    "deque": _many(collections.deque),
    "bytes": lambda text, _: bytes.fromhex(text),
    "bytearray": lambda text, _: bytearray.fromhex(text),
    "complex": lambda pair, _: complex(*pair),
    "ndarray": _array,
    "ListNode": lambda values, other: list_node([unpack(v, other) for v in values]),
    "TreeNode": lambda values, other: tree_node([unpack(v, other) for v in values]),
    **{kind.__name__: _from_text(make) for kind, make in _BY_TEXT.items()},
}


class ListNode:
    """A singly linked list's node, as LeetCode's problems use it."""

    def __init__(self, val: Any = 0, next: "ListNode | None" = None) -> None:
        self.val, self.next = val, next


class TreeNode:
    """A binary tree's node, as LeetCode's problems use it."""

    def __init__(self, val: Any = 0, left: "TreeNode | None" = None, right: "TreeNode | None" = None) -> None:
        self.val, self.left, self.right = val, left, right


def list_node(values: list[Any]) -> ListNode | None:
    """The linked list of `values`; None for an empty one."""
    head: ListNode | None = None
    for value in reversed(values):
        head = ListNode(value, head)
    return head


def tree_node(values: list[Any]) -> TreeNode | None:
    """The binary tree of LeetCode's level-order notation, in which None is a missing child."""
    if not values or values[0] is None:
        return None
    root = TreeNode(values[0])
    waiting, rest = collections.deque([root]), iter(values[1:])
    while waiting:
        node = waiting.popleft()
        for side in ("left", "right"):
            value = next(rest, None)
            if value is not None:
                setattr(node, side, TreeNode(value))
                waiting.append(getattr(node, side))
    return root


def list_values(node: Any) -> list[Any]:
    """The values of a linked list. Raises Unsendable for one with a cycle."""
    values: list[Any] = []
    while node is not None:
        values.append(node.val)
        node = node.next
        if len(values) > MAX_NODES:
            raise Unsendable("a linked list with a cycle")
    return values


def tree_values(root: Any) -> list[Any]:
    """A binary tree in level order without trailing None. Raises Unsendable for one with a cycle."""
    values: list[Any] = []
    waiting = collections.deque([root])
    while waiting:
        node = waiting.popleft()
        values.append(None if node is None else node.val)
        if node is not None:
            waiting.extend((node.left, node.right))
        if len(values) > MAX_NODES:
            raise Unsendable("a tree with a cycle")
    while values and values[-1] is None:
        values.pop()
    return values


def _linked(value: Any, other: Callable[[Any], dict[str, Any]] | None) -> dict[str, Any] | None:
    name = type(value).__name__
    if name == "ListNode" and hasattr(value, "val") and hasattr(value, "next"):
        return _tag(name, [pack(v, other) for v in list_values(value)])
    if name == "TreeNode" and all(hasattr(value, a) for a in ("val", "left", "right")):
        return _tag(name, [pack(v, other) for v in tree_values(value)])
    return None
