"""Tests and program in two processes: the tests call the program from outside and see only data come back.

So the program cannot reach the tests' expectations, cannot end the tests by exiting, and cannot win by an object that
says it equals everything. What is not data stays in the program's process and the tests hold a `Remote` to it. A
Remote never equals data, and operators that would hand it an expectation are refused unless the tests name a class of
the program (then the class is what is tested, and its operators are part of it). A class is what the tests use by a
capitalised name that they call and do not bind themselves: else a program could turn the tested function into a class.
Even then, an object that a call returned where a number was due (`abs(circle.area() - 78.5) < 0.1`) does not judge
itself: what it computes from the tests' data never comes back as data.
"""

import builtins
import collections
import sys
from collections.abc import Callable
from typing import Any

from . import wire
from .link import Gone, Peer
from .uses import Uses


class Raised(Exception):
    """The program raised an exception of its own class, or left by SystemExit."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "_remote" not in vars(self):
            raise AttributeError(name)
        return getattr(vars(self)["_remote"], name)


class _Named(type):
    """An exception class of the program: calling it makes one in the program's process."""

    tests: "Tests"

    def __call__(cls, *args: Any, **named: Any) -> Any:
        return cls.tests.do("call_name", cls.__name__, *args, **named)


class Remote:
    """An object that lives in the program's process."""

    def __init__(self, tests: "Tests", wired: dict[str, Any], made: bool = True, is_class: bool = False) -> None:
        """made: by the tests, which called its class; else it is what some call came back with.

        is_class: whether the tests use it as a class, by their own text.
        """
        self.__dict__["_tests"], self.__dict__["_wired"] = tests, wired
        self.__dict__["_made"], self.__dict__["_told"], self.__dict__["_is_class"] = made, False, is_class

    def __call__(self, /, *args: Any, **named: Any) -> Any:
        return self._tests.do("call", self, *args, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        value = self._tests.do("attribute", self, name)
        if isinstance(value, Remote):  # a class within a class
            value.__dict__["_is_class"] = self._is_class and name[:1].isupper()
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self._tests.do("set_attribute", self, name, value)

    def __repr__(self) -> str:
        return str(self._tests.do("repr", self))

    def __str__(self) -> str:
        return str(self._tests.do("operator", "__str__", self))

    def __bool__(self) -> bool:
        return self._tests.do("truth", self) is True

    def __hash__(self) -> int:
        return int(self._tests.do("hash", self))

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, Remote) and self._tests.do("isinstance", value, self) is True

    def __subclasscheck__(self, value: Any) -> bool:
        return isinstance(value, Remote) and self._tests.do("issubclass", value, self) is True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Remote):
            return False
        if self._wired["id"] == other._wired["id"]:
            return True
        return self._tests.classes and self._tests.do("operator", "__eq__", self, other) is True

    def __iter__(self) -> Any:
        walk = self._tests.do("iterate", self)
        return walk if isinstance(walk, Remote) else iter(walk)

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

    def __init__(self, link: Peer, uses: Uses) -> None:
        self.link, self.exported, self.exceptions = link, list[Any](), dict[str, type[BaseException]]()
        link.handle = self._call_back
        self.uses, self.classes = uses, bool(uses.classes)
        self.calls, self.left = 0, False
        self._stdout = sys.stdout

    def do(self, operation: str, /, *args: Any, **named: Any) -> Any:
        """Performs an operation in the program's process; raises what it raised."""
        self.calls += 1
        packed = wire.pack(list(args), self._give)
        sent = {key: wire.pack(value, self._give) for key, value in named.items()}
        capture = sys.stdout is not self._stdout
        reply = self.link.ask(op=operation, args=packed, named=sent, **({"capture": True} if capture else {}))
        if capture and reply.get("printed"):
            sys.stdout.write(str(reply["printed"]))
        if "error" in reply:
            raise self._exception(reply["error"], iterating="__next__" in args)
        for place, changed in (reply.get("args") or {}).items():
            _restore(args[int(place)], wire.unpack(changed, self._take))
        for name, changed in (reply.get("named") or {}).items():
            _restore(named[name], wire.unpack(changed, self._take))
        value = wire.unpack(reply.get("value"), self._take)
        if isinstance(value, Remote) and operation == "call" and args[0]._is_class:
            value.__dict__["_made"] = True
        return value

    def _give(self, value: Any) -> dict[str, Any]:
        if isinstance(value, Remote):
            return value._wired
        if not callable(value):
            raise wire.Unsendable(f"cannot hand a {type(value).__name__} to the program")
        if getattr(builtins, getattr(value, "__name__", ""), None) is value:
            return {"~": "builtin", "id": getattr(value, "__name__", "")}  # the program has its own
        self.exported.append(value)
        return {"~": "callable", "id": len(self.exported) - 1}

    def _take(self, value: dict[str, Any]) -> Any:
        if value.get("~") == "callable":
            return self.exported[int(value["id"])]
        return Remote(self, {"~": "remote", "id": int(value["id"]), "type": str(value.get("type"))[:100]}, made=False)

    def _call_back(self, message: dict[str, Any]) -> dict[str, Any]:
        """The program calls a function that the tests handed it: that function, with data, and nothing else."""
        try:
            if message.get("op") != "call":
                raise wire.Unsendable("only a call is answered")
            function = self.exported[int(message["id"])]
            return {"value": wire.pack(function(*wire.unpack(message["args"], self._take)), self._give)}
        except Gone:
            raise
        except BaseException as error:  # what would end the tests is no way out for the program
            self.left |= not isinstance(error, Exception)
            return {"error": f"{type(error).__name__}: {error}"}

    def _exception(self, error: dict[str, Any], iterating: bool) -> BaseException:
        text, kinds = str(error.get("text", "")), [str(k) for k in error.get("kinds", [])]
        for kind in kinds:
            if kind in self.exceptions:
                return self._own_exception(self.exceptions[kind], text, error)
            builtin = getattr(builtins, kind, None)
            if isinstance(builtin, type) and issubclass(builtin, Exception):
                ends = issubclass(builtin, StopIteration | StopAsyncIteration) and not iterating
                if builtin is Exception or ends:
                    break  # an end of the iteration would end a loop of the tests' own
                return _rebuilt(builtin, text, error.get("args"))
        name = kinds[0] if kinds and kinds[0].isidentifier() else "Exception"
        return self._own_exception(type(name, (Raised,), {}), text, error)

    def _own_exception(self, kind: type[BaseException], text: str, error: dict[str, Any]) -> BaseException:
        made = kind.__new__(kind, text)
        made.args = (text,)
        handle = error.get("self")
        if isinstance(handle, dict):
            vars(made)["_remote"] = self._take(handle)
        return made

    def bind(self, name: str, kind: str) -> Any:
        """Return what `name` of the program is to the tests: data by value, an exception class, or a Remote."""
        if name in self.uses.exceptions:
            own: Any = _Named(name, (Raised,), {"tests": self})
            self.exceptions[name] = own
            return own
        if name in self.uses.classes or kind == "callable":
            wired = {"~": "name", "id": name, "type": kind}
            return Remote(self, wired, is_class=name in self.uses.classes)
        return self.do("name", name)


def _rebuilt(kind: type[Exception], text: str, packed: Any) -> Exception:
    """A built-in exception as the program raised it, by its arguments where they give its text."""
    for args in ([text],) if packed is None else (packed, [text]):
        try:
            made = kind(*wire.unpack(args))
            if str(made) == text or args == [text]:
                return made
        except Exception:
            continue
    return Raised(text)


def _restore(old: Any, new: Any) -> None:
    """Make `old` what a call has made of it, in place, and the lists within it too."""
    if isinstance(old, list) and isinstance(new, list):
        for place, (one, other) in enumerate(zip(old, new, strict=False)):
            if type(one) is type(other) and isinstance(one, list | dict | set):
                _restore(one, other)
                new[place] = one
        old[:] = new
    elif isinstance(old, bytearray) and isinstance(new, bytearray):
        old[:] = new
    elif isinstance(old, collections.deque) and isinstance(new, collections.deque):
        old.clear()
        old.extend(new)
    elif isinstance(old, dict | set) and type(old) is type(new):
        old.clear()
        old.update(new)
    elif isinstance(old, wire.ListNode | wire.TreeNode) and type(old) is type(new):
        vars(old).update(vars(new))
