"""A forked child: it locks itself in, then plays one role of a run.

Roles: `program` (a whole program, stdin to stdout), `calls` (call a function on each case, write what it returned),
`serve` (hold the program and answer the tests' calls), `test` (run the tests against a served program).
Exit codes are labels for the judge; a submission that forges one only chooses how it fails.
"""

import atexit
import builtins
import gc
import io
import json
import linecache
import os
import random
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any

from . import lock, peer, wire

EXIT_HARNESS, EXIT_COMPILE, EXIT_MEMORY, EXIT_RAISED = 70, 96, 97, 1
PROGRAM_FILE = "program.py"


def main(role: str, limits: Mapping[str, int], files: dict[str, int], uid: int | None) -> None:
    """Plays `role` and never returns. `files`: open files by name (payload, stdin, stdout, stderr, result, link)."""
    os.setsid()
    os.chdir("/tmp")
    payload = _read(files["payload"])
    null = os.open("/dev/null", os.O_RDWR)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.dup2(files.get(name, null), number)
    kept = sorted(files[name] for name in ("result", "link") if name in files)
    lowest = 3
    for keep in kept:
        os.closerange(lowest, keep)
        lowest = keep + 1
    os.closerange(lowest, 65536)
    lock.drop_privileges(uid)
    lock.set_limits(limits)
    lock.filter_calls()
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8", "replace")
    sys.stdout = _writer(1, "surrogateescape")
    sys.stderr = _writer(2, "backslashreplace")
    gc.enable()
    random.seed(0)  # the same verdict every time
    _finish(lambda: ROLES[role](json.loads(payload), files))


def _writer(number: int, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(io.FileIO(number, "w", closefd=False)), "utf-8", errors)


def _read(file: int) -> bytes:
    size, parts, offset = os.fstat(file).st_size, [], 0
    while offset < size:
        parts.append(os.pread(file, size - offset, offset))
        offset += len(parts[-1])
    return b"".join(parts)


def _finish(play: Callable[[], None]) -> None:
    """Runs a role to its end as an interpreter would: threads joined, exit handlers run, streams flushed."""
    code = 0
    try:
        try:
            play()
            threading._shutdown()  # type: ignore[attr-defined]
        finally:
            atexit._run_exitfuncs()
            sys.stdout.flush()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException as error:
        code = _report(error)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
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


def load(source: str, *, prelude: bool) -> dict[str, Any]:
    """Runs a program as `__main__`; returns its globals. Ends the process with EXIT_COMPILE for a syntax error."""
    module = types.ModuleType("__main__")
    for name in [n for n in sys.modules if n == "guest" or n.startswith("guest.")]:
        del sys.modules[name]
    sys.modules["__main__"] = module
    sys.argv, sys.path[:] = [PROGRAM_FILE], [p for p in sys.path if not p.startswith("/ringlite")]
    space = module.__dict__
    space["__builtins__"] = builtins
    if prelude:
        _prelude(space)
    try:
        code = compile(source, PROGRAM_FILE, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        print("".join(traceback.format_exception_only(error)), file=sys.stderr, end="", flush=True)
        os._exit(EXIT_COMPILE)
    linecache.cache[PROGRAM_FILE] = (len(source), None, source.splitlines(True), PROGRAM_FILE)
    exec(code, space)
    return space


_STARS = "typing collections math heapq bisect itertools functools string operator random datetime"


def _prelude(space: dict[str, Any]) -> None:
    """What LeetCode's own runner imports for a `class Solution`, with its list and tree nodes."""
    for name in _STARS.split():
        module = __import__(name)
        for public in getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]:
            if public != "pow" and (not hasattr(builtins, public) or public == "inf"):
                space[public] = getattr(module, public)
    for name in (*_STARS.split(), "sys", "re", "copy"):
        if name != "datetime":
            space[name] = __import__(name)
    for thing in (wire.ListNode, wire.TreeNode, wire.list_node, wire.tree_node):
        space[thing.__name__] = thing
    space["is_same_list"] = lambda a, b: wire.list_values(a) == wire.list_values(b)
    space["is_same_tree"] = lambda a, b: wire.tree_values(a) == wire.tree_values(b)


def _program(payload: dict[str, Any], files: dict[str, int]) -> None:
    load(payload["program"], prelude=False)


def _calls(payload: dict[str, Any], files: dict[str, int]) -> None:
    space = load(payload["program"], prelude=payload["prelude"])
    function = _entry(space, payload["entry_point"])
    for args in payload["calls"]:
        args = wire.unpack(args)
        value = function(**args) if isinstance(args, dict) else function(*args)
        os.write(files["result"], json.dumps(wire.pack(value)).encode() + b"\n")


def _entry(space: dict[str, Any], name: str) -> Callable[..., Any]:
    """The function called `name`, or that method of a fresh `Solution`."""
    if name in space:
        return space[name]
    if hasattr(space.get("Solution"), name.rpartition(".")[2]):
        return getattr(space["Solution"](), name.rpartition(".")[2])
    raise NameError(f"the program does not define {name!r}")


def _serve(payload: dict[str, Any], files: dict[str, int]) -> None:
    link = peer.Peer(files["link"])
    space = load(payload["program"], prelude=payload["prelude"])
    peer.serve(link, space)


def _test(payload: dict[str, Any], files: dict[str, int]) -> None:
    space: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    if payload["prelude"]:
        _prelude(space)
    outcome = peer.run_tests(peer.Peer(files["link"]), payload["tests"], space)
    os.write(files["result"], json.dumps(outcome).encode())


ROLES: dict[str, Callable[[dict[str, Any], dict[str, int]], None]] = {
    "program": _program,
    "calls": _calls,
    "serve": _serve,
    "test": _test,
}
