"""A forked child: it locks itself in, then plays one role of a run.

Roles: `program` (a whole program, stdin to stdout), `calls` (call a function on each case, write what it returned),
`serve` (hold the program and answer the tests' calls), `test` (run the tests against a served program), `check` (run
the tests' own checker on answers), `score` (an answer by a scorer), `compile` and `native` (C++ and Java).
Exit codes are labels for the judge; a submission that forges one only chooses how it fails.
"""

import _sitebuiltins
import atexit
import builtins
import contextlib
import gc
import io
import json
import linecache
import marshal
import os
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any

from . import link as links
from . import lock, native, scoring, served, testing, wire

EXIT_HARNESS, EXIT_GONE, EXIT_MEMORY, EXIT_RAISED = 70, 71, 97, 1
EXIT_COMPILE, EXIT_NO_TOOL = native.EXIT_COMPILE, native.EXIT_NO_TOOL
PROGRAM_FILE = "program.py"


def prepare() -> None:
    """What the warm process does once, so that no child has to.

    Every page that a child writes costs it about 3 us, and in CPython a first call writes: so streams and the module
    `__main__` are made here, harness modules leave sys.modules here, and the functions below are called until they
    are specialised (PEP 659).
    """
    sys.stdin = io.TextIOWrapper(io.BufferedReader(_file(0, "r", "<stdin>")), "utf-8", "replace")
    vars(sys.stdin)["mode"] = "r"
    sys.stdout, sys.stderr = _writer(1, "surrogateescape", "<stdout>"), _writer(2, "backslashreplace", "<stderr>")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    for name in ("exit", "quit"):
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    for name in ("help", "copyright"):
        setattr(builtins, name, _sitebuiltins._Helper())
    sys.set_int_max_str_digits(0)  # as judges with an older Python have it
    sys.argv = [PROGRAM_FILE]
    sys.path[:] = [p for p in sys.path if not p.startswith("/ringlite")]
    sys.modules["random"].seed(0)  # the same verdict every time
    for _ in range(20):
        _warm_up()
    sys.modules["__main__"] = _MAIN
    _MAIN.__dict__["__builtins__"] = builtins
    for name in [n for n in sys.modules if n == "guest" or n.startswith("guest.")]:
        del sys.modules[name]


def _warm_up() -> None:
    space: dict[str, Any] = {}
    exec(compile("def f(a):\n    return sum(v * v for v in a)\n", PROGRAM_FILE, "exec", dont_inherit=True), space)
    for value in (1, 0.5, "a", [1, "b"], {"c": None}, (1, 2)):
        wire.unpack(marshal.loads(marshal.dumps(wire.pack(value))))
        _line(value)
    _entry(space, "f")([1, 2])
    json.loads(json.dumps({"op": "call", "args": [{"~": "name", "id": "f"}, [1, "a"]], "named": {}}))


def main(
    role: str, limits: Mapping[str, int], files: dict[str, int], uid: int | None, folder: str, reads_all: bool = False
) -> None:
    """Plays `role` in `folder` and never returns.

    `files`: open files by name (payload, stdin, stdout, stderr, result, link, artifact).
    `reads_all`: see `lock.drop_privileges`.
    """
    os.setsid()
    os.chdir(folder)
    payload = _read(files["payload"])
    null = os.open("/dev/null", os.O_RDWR)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.dup2(files.get(name, null), number)
    lowest = 3
    for keep in sorted(files[name] for name in ("result", "link", "artifact") if name in files):
        os.closerange(lowest, keep)
        lowest = keep + 1
    os.closerange(lowest, 65536)
    lock.set_limits(limits)
    lock.drop_privileges(uid, reads_all)
    if os.getpid() != 1:  # without a PID name space of its own
        lock.keep_signals_inside()
    gc.enable()
    _finish(ROLES[role], marshal.loads(payload), files)


def _file(number: int, mode: str, name: str) -> io.FileIO:
    file = io.FileIO(number, mode, closefd=False)
    file.name = name
    return file


def _writer(number: int, errors: str, name: str) -> io.TextIOWrapper:
    made = io.TextIOWrapper(io.BufferedWriter(_file(number, "w", name)), "utf-8", errors)
    made.mode = "w"  # type: ignore[misc]
    return made


def _flush(stream: Any) -> None:
    """Write out a stream that can be: a program may have closed it, or put something smaller in its place."""
    if hasattr(stream, "flush") and not getattr(stream, "closed", False):
        stream.flush()


def _flush_all() -> None:
    """Write out what streams still hold: the process's first ones, those in their place, files left open."""
    for stream in (sys.stdout, sys.__stdout__):
        _flush(stream)
    texts = [stream for stream in gc.get_objects() if type(stream) is io.TextIOWrapper]
    for stream in (*texts, *(kept for kept in gc.get_objects() if type(kept) is io.BufferedWriter)):
        with contextlib.suppress(Exception):
            if not stream.closed and stream.writable():
                stream.flush()


def _read(file: int) -> bytes:
    size, parts, offset = os.fstat(file).st_size, [], 0
    while offset < size:
        parts.append(os.pread(file, size - offset, offset))
        offset += len(parts[-1])
    return b"".join(parts)


def _finish(play: "_Role", payload: dict[str, Any], files: dict[str, int]) -> None:
    """Run a role to its end as an interpreter would: threads joined, exit handlers run, streams flushed."""
    code = 0
    try:
        try:
            play(payload, files)
            threading._shutdown()  # type: ignore[attr-defined]
        finally:
            atexit._run_exitfuncs()
            _flush_all()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException as error:
        code = _report(error)
    for stream in (sys.stdout, sys.stderr, sys.__stderr__):
        try:
            _flush(stream)
        except BaseException:
            code = code or EXIT_RAISED
    os._exit(code & 0xFF)


def _report(error: BaseException) -> int:
    try:
        traceback.print_exception(type(error), error, _without_harness(error.__traceback__))
    except BaseException:
        return EXIT_MEMORY if isinstance(error, MemoryError) else EXIT_RAISED
    return EXIT_MEMORY if isinstance(error, MemoryError) else EXIT_RAISED


def _without_harness(trace: types.TracebackType | None) -> types.TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename != PROGRAM_FILE:
        trace = trace.tb_next
    return trace


_MAIN = types.ModuleType("__main__")


def load(source: str, *, prelude: bool) -> dict[str, Any]:
    """Run a program as `__main__`; return its globals. Ends the process with EXIT_COMPILE for a syntax error.

    prelude: it may use LeetCode's names. They lie below its globals, as built-in names do: they are not its own.
    """
    space = _MAIN.__dict__
    space["__file__"] = PROGRAM_FILE
    if prelude:
        space["__builtins__"] = vars(builtins) | _prelude(source)
    try:
        code = compile(source, PROGRAM_FILE, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        print("".join(traceback.format_exception_only(error)), file=sys.stderr, end="", flush=True)
        os._exit(EXIT_COMPILE)
    linecache.cache[PROGRAM_FILE] = (lambda: source,)  # read by tracebacks alone
    exec(code, space)
    return space


_STARS = "typing collections math heapq bisect itertools functools string operator random datetime"


def _prelude(source: str = "") -> dict[str, Any]:
    """Return what LeetCode's own runner imports for a `class Solution`, with its list and tree nodes."""
    space: dict[str, Any] = {}
    if "Sorted" in source:
        with contextlib.suppress(ImportError):
            sorted_ones = __import__("sortedcontainers")
            space |= {name: getattr(sorted_ones, name) for name in ("SortedList", "SortedDict", "SortedSet")}
            space |= {"SortedKeyList": sorted_ones.SortedKeyList}
    for name in _STARS.split():
        module = __import__(name)
        for public in getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]:
            if public != "pow" and (not hasattr(builtins, public) or public == "inf"):
                space[public] = getattr(module, public)
    for name in (*_STARS.split(), "sys", "re", "copy"):
        space[name] = __import__(name)  # `datetime` too is the module, not the class in it
    for thing in (wire.ListNode, wire.TreeNode, wire.list_node, wire.tree_node):
        space[thing.__name__] = thing
    space["is_same_list"] = lambda a, b: wire.list_values(a) == wire.list_values(b)
    space["is_same_tree"] = lambda a, b: wire.tree_values(a) == wire.tree_values(b)
    return space


def _program(payload: dict[str, Any], files: dict[str, int]) -> None:
    if payload["names_input"]:
        native.name_input()
    if "__del__" in payload["program"]:
        atexit.register(_forget)  # exit handlers run in reverse: behind the program's own
    load(payload["program"], prelude=False)


def _forget() -> None:
    """End what a program's globals hold, as an interpreter does at its end: finalizers may print."""
    space = _MAIN.__dict__
    for name in [name for name in space if name != "__builtins__"]:
        space[name] = None
    gc.collect()


def _calls(payload: dict[str, Any], files: dict[str, int]) -> None:
    space = load(payload["program"], prelude=payload["prelude"])
    function = _entry(space, payload["entry_point"])
    for args in payload["calls"]:
        args = wire.unpack(args)
        value = function(**args) if isinstance(args, dict) else function(*args)
        os.write(files["result"], _line(value))


def _line(value: Any) -> bytes:
    """A value as a line of JSON (the host must not unmarshal what a program may have written)."""
    kind = type(value)
    if kind is int and -(2**63) < value < 2**63:
        return b"%d\n" % value
    return json.dumps(wire.pack(value)).encode() + b"\n"


def _entry(space: dict[str, Any], name: str) -> Callable[..., Any]:
    """The function called `name`, or that method of a fresh `Solution`."""
    if name in space:
        return space[name]
    if hasattr(space.get("Solution"), name.rpartition(".")[2]):
        return getattr(space["Solution"](), name.rpartition(".")[2])
    raise NameError(f"the program does not define {name!r}")


def _check(payload: dict[str, Any], files: dict[str, int]) -> None:
    """Call the tests' `check(given, expected, actual)` on each answer; write true or false."""
    space = load(payload["checker"], prelude=False)
    for given, expected, actual in payload["answers"]:
        os.write(files["result"], _line(bool(space["check"](given, expected, wire.unpack(actual)))))


def _serve(payload: dict[str, Any], files: dict[str, int]) -> None:
    link = links.Peer(files["link"])
    asked = link.receive()
    space = load(payload["program"], prelude=asked.get("leetcode") is True)
    served.serve(link, space, [str(name) for name in asked.get("used", [])])


def _test(payload: dict[str, Any], files: dict[str, int]) -> None:
    space, link = _MAIN.__dict__, links.Peer(files["link"])  # where unittest.main looks for cases
    outcome = testing.run_tests(link, payload["tests"], space, payload["entry_point"], _prelude)
    os.write(files["result"], json.dumps(outcome).encode())
    if outcome["outcome"] == "gone":
        os._exit(EXIT_GONE)


_Role = Callable[[dict[str, Any], dict[str, int]], None]
ROLES: dict[str, _Role] = {
    "program": _program,
    "calls": _calls,
    "serve": _serve,
    "test": _test,
    "check": _check,
    "score": scoring.score,
    "compile": native.compile_source,
    "native": native.run_native,
}
