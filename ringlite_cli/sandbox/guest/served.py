"""The program's end of the link: it answers what the tests ask of its globals and of the objects it handed out."""

import builtins
import collections
import contextlib
import io
from collections.abc import Callable, Iterable
from typing import Any

from . import wire
from .link import Gone, Peer


def serve(link: Peer, space: dict[str, Any], used: list[str]) -> None:
    """The program's end: answers operations on its globals and on the objects it has handed out.

    used: the names of its globals that the tests ask for.
    """
    held: list[Any] = []
    places: dict[int, int] = {}

    def give(value: Any) -> dict[str, Any]:
        if id(value) not in places:  # what is held stays, and so does its id
            places[id(value)] = len(held)
            held.append(value)
        return {"~": "remote", "id": places[id(value)], "type": type(value).__name__}

    def take(value: dict[str, Any]) -> Any:
        if value["~"] == "remote":
            return held[value["id"]]
        if value["~"] == "name":
            return space[value["id"]]
        if value["~"] == "builtin":
            return getattr(builtins, value["id"])
        return lambda *args: _answer(link.ask(op="call", id=value["id"], args=wire.pack(list(args), give)), take)

    def handle(message: dict[str, Any]) -> dict[str, Any]:
        printed = io.StringIO() if message.get("capture") else None
        reply: dict[str, Any] = {}
        try:
            args, named = wire.unpack(message["args"], take), wire.unpack(message.get("named", {}), take)
            with contextlib.redirect_stdout(printed) if printed else contextlib.nullcontext():
                value = _OPERATIONS[message["op"]](space, *args, **named)
            reply = {"value": wire.pack(value, give), "args": _changed(enumerate(args), message["args"], give)}
            reply["named"] = _changed(named.items(), message.get("named", {}), give)
        except BaseException as error:
            reply = {"error": _told(error, give)}
        if printed:
            reply["printed"] = printed.getvalue()
        return reply

    def name_kind(value: Any) -> str:
        return "callable" if callable(value) else "value"

    link.handle = handle
    try:
        link.send({"names": {name: name_kind(space[name]) for name in used if name in space}})
        while True:
            link.send(handle(link.receive()))
    except Gone:
        return


_CHANGING = (list, dict, set, bytearray, collections.deque, wire.ListNode, wire.TreeNode)


def _changed(args: Iterable[tuple[Any, Any]], sent: Any, give: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The arguments that the call changed in place, by position or name."""
    after = {}
    for place, arg in args:
        if isinstance(arg, _CHANGING):
            packed = wire.pack(arg, give)
            if packed != sent[place]:
                after[str(place)] = packed
    return after


def _told(error: BaseException, give: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Return what the tests learn of an exception: its classes, its text, its arguments and a handle on itself."""
    kinds = [k.__name__ for k in type(error).__mro__]
    try:
        text = str(error)[:2000]
    except BaseException:
        text = kinds[0]
    try:
        args = wire.pack(list(error.args))
    except BaseException:
        args = [text]
    return {"kinds": kinds, "text": text, "args": args, "self": give(error)}


def _operate(space: dict[str, Any], method: str, value: Any, *args: Any) -> Any:
    function = getattr(type(value), method, None)
    if function is None:  # as Python itself says it; list() and others rely on the type of this error
        raise TypeError(f"{type(value).__name__!r} object has no {method}")
    return function(value, *args)


# The parameters before the slash keep out of the way of arguments that are passed by name.
def _call_name(space: dict[str, Any], name: str, /, *args: Any, **named: Any) -> Any:
    return space[name](*args, **named)


def _call(space: dict[str, Any], value: Any, /, *args: Any, **named: Any) -> Any:
    return value(*args, **named)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "name": lambda space, name: space[name],
    "call_name": _call_name,
    "call": _call,
    "attribute": lambda space, value, name: getattr(value, name),
    "set_attribute": lambda space, value, name, new: setattr(value, name, new),
    "operator": _operate,
    "iterate": lambda space, value: iter(value),
    "truth": lambda space, value: bool(value),
    "hash": lambda space, value: hash(value),
    "repr": lambda space, value: repr(value),
    "isinstance": lambda space, value, kind: isinstance(value, kind),
    "issubclass": lambda space, value, kind: issubclass(value, kind),
}


def _answer(reply: dict[str, Any], take: Callable[[dict[str, Any]], Any]) -> Any:
    if "error" in reply:
        raise RuntimeError(str(reply["error"]))
    return wire.unpack(reply.get("value"), take)
