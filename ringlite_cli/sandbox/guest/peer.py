"""Tests and program in two processes: the tests call the program from outside and see only data come back.

So the program cannot reach the tests' expectations, cannot end the tests by exiting, and cannot win by an object that
says it equals everything. What is not data stays in the program's process and the tests hold a `Remote` to it. A
Remote never equals data, and operators that would hand it an expectation are refused unless the tests name a class of
the program (then the class is what is tested, and its operators are part of it). A class is what the tests use by a
capitalised name that they do not bind themselves: else a program could turn the tested function into a class.
Even then, an object that a call returned where a number was due (`abs(circle.area() - 78.5) < 0.1`) does not judge
itself: what it computes from the tests' data never comes back as data.
"""

import builtins
import io
import json
import socket
import sys
from collections.abc import Callable
from typing import Any

from . import wire

MAX_MESSAGE = 64 << 20


class Gone(BaseException):
    """The program's process ended or broke the protocol. No `except Exception` of the tests outlives it."""


class Raised(Exception):
    """The program raised an exception of its own class, or left by SystemExit."""


class Peer:
    """One end of the link: JSON lines, a request answered by a reply, requests nested within requests."""

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=number)
        self._lines = self._socket.makefile("rb")
        self.gone = False
        self.handle: Callable[[dict[str, Any]], Any] = lambda message: None

    def send(self, message: Any) -> None:
        """Sends one message. Raises Gone when the other end has closed."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.gone = True
            raise Gone("the program ended") from None

    def receive(self) -> dict[str, Any]:
        """The next message. Raises Gone at the end of the link or for what is not a message."""
        try:
            line = self._lines.readline(MAX_MESSAGE)
            message = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self.gone = True
            raise Gone("the program ended")
        return message

    def ask(self, **request: Any) -> dict[str, Any]:
        """Sends a request and returns its reply, answering the other end's own requests meanwhile."""
        self.send(request)
        while True:
            message = self.receive()
            if "op" not in message:
                return message
            self.send(self.handle(message))


def serve(link: Peer, space: dict[str, Any]) -> None:
    """The program's end: answers operations on its globals and on the objects it has handed out."""
    held: list[Any] = []

    def give(value: Any) -> dict[str, Any]:
        held.append(value)
        return {"~": "remote", "id": len(held) - 1, "type": type(value).__name__, "text": _text(value)}

    def take(value: dict[str, Any]) -> Any:
        if value["~"] == "remote":
            return held[value["id"]]
        if value["~"] == "name":
            return space[value["id"]]
        return lambda *args: _answer(link.ask(op="call", id=value["id"], args=wire.pack(list(args), give)), take)

    def handle(message: dict[str, Any]) -> dict[str, Any]:
        printed, usual = io.StringIO(), sys.stdout
        sys.stdout = printed
        try:
            args, named = wire.unpack(message["args"], take), wire.unpack(message.get("named", {}), take)
            value = _OPERATIONS[message["op"]](space, *args, **named)
            changed = _changed(dict(enumerate(args)), dict(enumerate(message["args"])), give)
            changed |= _changed(named, message.get("named", {}), give)
            reply = {"value": wire.pack(value, give), "args": changed}
        except BaseException as error:
            kinds = [k.__name__ for k in type(error).__mro__]
            reply = {"error": {"kinds": kinds, "text": _text(error)}}
        finally:
            sys.stdout = usual
        return reply | {"printed": printed.getvalue()} if printed.tell() else reply

    def name_kind(value: Any) -> str:
        if isinstance(value, type):
            return "exception" if issubclass(value, BaseException) else "class"
        return "callable" if callable(value) else "value"

    link.handle = handle
    try:
        used = [str(name) for name in link.receive().get("used", [])]
        link.send({"names": {name: name_kind(space[name]) for name in used if name in space}})
        while True:
            link.send(handle(link.receive()))
    except Gone:
        return


def _changed(args: dict[Any, Any], sent: dict[Any, Any], give: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The arguments that the call changed in place (lists, dicts, sets), by position or name."""
    after = {}
    for place, arg in args.items():
        if isinstance(arg, list | dict | set | bytearray):
            packed = wire.pack(arg, give)
            if packed != sent[place]:
                after[str(place)] = packed
    return after


def _text(value: Any) -> str:
    try:
        return str(value)[:500] if isinstance(value, BaseException) else repr(value)[:200]
    except BaseException:
        return type(value).__name__


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
    "instance": lambda space, kind, value: isinstance(value, kind),
    "truth": lambda space, value: bool(value),
    "text": lambda space, value: repr(value),
}


def _answer(reply: dict[str, Any], take: Callable[[dict[str, Any]], Any]) -> Any:
    if "error" in reply:
        raise RuntimeError(str(reply["error"]))
    return wire.unpack(reply.get("value"), take)


class Remote:
    """An object that lives in the program's process."""

    def __init__(self, tests: "Tests", wired: dict[str, Any], made: bool = True) -> None:
        """made: by the tests, which called its class; else it is what some call came back with."""
        self.__dict__["_tests"], self.__dict__["_wired"] = tests, wired
        self.__dict__["_made"], self.__dict__["_told"], self.__dict__["_class"] = made, False, False

    def __call__(self, /, *args: Any, **named: Any) -> Any:
        return self._tests.do("call", self, *args, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self._tests.do("attribute", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._tests.do("set_attribute", self, name, value)

    def __repr__(self) -> str:
        return str(self._tests.do("text", self)) if self._tests.classes else str(self._wired["text"])

    def __str__(self) -> str:
        return str(self._tests.do("operator", "__str__", self))

    def __bool__(self) -> bool:
        return self._tests.do("truth", self) is True if self._tests.classes and self._made else True

    def __hash__(self) -> int:
        if self._tests.classes and self._made:
            return hash(self._tests.do("operator", "__hash__", self))
        return hash(self._wired["id"])

    def __instancecheck__(self, value: object) -> bool:
        if not self._class:
            raise TypeError("isinstance() arg 2 must be a type")
        return isinstance(value, Remote) and self._tests.do("instance", self, value) is True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Remote):
            return False
        if self._wired["id"] == other._wired["id"]:
            return True
        return self._tests.classes and self._tests.do("operator", "__eq__", self, other) is True

    def __iter__(self) -> Any:
        found = self._tests.do("operator", "__iter__", self)
        return found if isinstance(found, Remote) else iter(found)

    def __len__(self) -> int:
        return int(self._tests.do("operator", "__len__", self))

    def __getitem__(self, key: Any) -> Any:
        return self._tests.do("operator", "__getitem__", self, key)

    def __next__(self) -> Any:
        return self._tests.do("operator", "__next__", self)


def _guarded(method: str) -> Callable[..., Any]:
    def operate(self: Remote, *args: Any) -> Any:
        if not self._tests.classes:
            raise TypeError(f"{self._wired['type']} is not data: {method} is refused")
        value = self._tests.do("operator", method, self, *args)
        if method in _KEEPING:
            return value
        told = self._told or (not self._made and any(not isinstance(arg, Remote) for arg in args))
        if isinstance(value, Remote):
            value.__dict__["_told"] = told
        elif told:
            raise TypeError(f"a {self._wired['type']} was returned where data is compared: {method} is refused")
        return value

    return operate


_KEEPING = {f"__{name}__" for name in ("setitem", "delitem", "enter", "exit")}


_OPERATORS = """
lt le gt ge contains add sub mul truediv floordiv mod pow matmul and or xor neg abs radd rsub rmul
setitem delitem enter exit int float round iadd isub
"""
for _name in _OPERATORS.split():
    setattr(Remote, f"__{_name}__", _guarded(f"__{_name}__"))


class Tests:
    """The tests' end: turns operations on Remotes into requests and replies into data, Remotes or exceptions."""

    def __init__(self, link: Peer, kinds: dict[str, str], used: set[str]) -> None:
        self.link, self.exported, self.exceptions = link, list[Any](), dict[str, type[BaseException]]()
        link.handle = self._call_back
        self.classes = any(kinds.get(name) == "class" and name[:1].isupper() for name in used - {"Solution"})
        self.calls = 0

    def do(self, operation: str, /, *args: Any, **named: Any) -> Any:
        """Performs an operation in the program's process; raises what it raised."""
        self.calls += 1
        packed = wire.pack(list(args), self._give)
        reply = self.link.ask(op=operation, args=packed, named=wire.pack(named, self._give))
        if printed := reply.get("printed"):
            sys.stdout.write(str(printed))  # into what the tests have put there
        if "error" in reply:
            raise self._exception(reply["error"], iterating="__next__" in args)
        self._copy_back({str(place): arg for place, arg in enumerate(args)} | named, reply.get("args") or {})
        value = wire.unpack(reply.get("value"), self._take)
        if isinstance(value, Remote) and operation == "call" and args[0]._class:
            value.__dict__["_made"] = True
        return value

    def _give(self, value: Any) -> dict[str, Any]:
        if isinstance(value, Remote):
            return value._wired
        if not callable(value):
            raise wire.Unsendable(f"cannot hand a {type(value).__name__} to the program")
        self.exported.append(value)
        return {"~": "callable", "id": len(self.exported) - 1}

    def _take(self, value: dict[str, Any]) -> Any:
        if value.get("~") == "callable":
            return self.exported[int(value["id"])]
        return Remote(self, value, made=False)

    def _call_back(self, message: dict[str, Any]) -> dict[str, Any]:
        """The program calls a function that the tests handed it: that function, with data, and nothing else."""
        try:
            if message.get("op") != "call":
                raise wire.Unsendable("only a call is answered")
            function = self.exported[int(message["id"])]
            return {"value": wire.pack(function(*wire.unpack(message["args"], self._take)), self._give)}
        except Gone:
            raise
        except BaseException as error:  # an exit too: the program cannot end the tests through their own functions
            return {"error": f"{type(error).__name__}: {error}"}

    def _exception(self, error: dict[str, Any], iterating: bool) -> BaseException:
        text, kinds = str(error.get("text", "")), [str(k) for k in error.get("kinds", [])]
        for kind in kinds:
            if kind in self.exceptions:
                return self.exceptions[kind](text)
            builtin = getattr(builtins, kind, None)
            if isinstance(builtin, type) and issubclass(builtin, Exception):
                ends = issubclass(builtin, StopIteration | StopAsyncIteration) and not iterating
                if builtin is Exception or ends or issubclass(builtin, UnicodeError | OSError):
                    break  # an end of the iteration would end a loop of the tests' own
                return builtin(text)
        name = kinds[0] if kinds and kinds[0].isidentifier() else "Exception"
        return type(name, (Raised,), {})(text)

    def _copy_back(self, args: dict[str, Any], changed: dict[str, Any]) -> None:
        for place, packed in changed.items():
            arg, new = args[place], wire.unpack(packed, self._take)
            if isinstance(arg, list | bytearray) and isinstance(new, list | bytearray):
                arg[:] = new
            elif isinstance(arg, dict | set) and type(arg) is type(new):
                arg.clear()
                arg.update(new)

    def bind(self, name: str, kind: str) -> Any:
        """What `name` of the program is to the tests: data by value, an exception class, or a Remote."""
        if kind == "exception":
            self.exceptions[name] = type(name, (Raised,), {})
            return self.exceptions[name]
        if kind in ("callable", "class"):
            bound = Remote(self, {"~": "name", "id": name, "type": kind, "text": f"<{kind} {name}>"})
            # What is a class, the tests' own spelling decides: a message cannot make one of another value
            bound.__dict__["_class"] = kind == "class" and name[:1].isupper()
            return bound
        return self.do("name", name)
