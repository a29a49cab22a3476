"""Mode unit, the tests' process: runs test code to an outcome."""

import builtins
import dis
import types
from typing import Any

from . import collected
from .peer import Gone, Peer, Tests


def _names(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The global names that the tests read, and those that they bind."""
    read, bound = set[str](), set[str]()
    waiting = [code]
    while waiting:
        part = waiting.pop()
        for step in dis.get_instructions(part):
            if step.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
                read.add(str(step.argval))
            elif step.opname in ("STORE_NAME", "STORE_GLOBAL"):
                bound.add(str(step.argval))
        waiting += [constant for constant in part.co_consts if isinstance(constant, types.CodeType)]
    return read, bound


def run_tests(link: Peer, source: str, space: dict[str, Any]) -> dict[str, str]:
    """Runs the tests' source against the served program, and the tests that it defines and nobody ran.

    Returns {"outcome", "detail"}; outcome is passed, failed (an assertion), raised (an exception that reached the
    tests' top), gone (the program's process ended) or broken (the tests are not Python, import what is not there, or
    ask nothing of the program).
    """
    try:
        code = compile(source, "tests.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {"outcome": "broken", "detail": f"the tests do not compile: {error}"}
    watch, tests, missing = collected.Watch(), None, set[str]()
    outcome = {"outcome": "passed", "detail": ""}
    try:
        read, bound = _names(code)
        used = {name for name in read - bound if not hasattr(builtins, name) and name not in space}
        link.send({"used": sorted(name for name in used if not name.startswith("__"))})
        kinds = link.receive().get("names")
        if not isinstance(kinds, dict):
            raise Gone("the program ended")
        tests, missing = Tests(link, kinds, used), used - kinds.keys()
        for name in sorted(used & kinds.keys()):
            space[name] = tests.bind(name, str(kinds[name]))
        try:
            exec(code, space)
        except SystemExit as stop:  # the tests' own, as unittest.main ends; the program's arrives as Raised
            if stop.code not in (None, 0, False) and not watch.failures:
                return {"outcome": "failed", "detail": f"the tests left with {stop.code!r}"}
        collected.run_defined(space, read, watch)
    except Gone:
        link.gone = True
    except AssertionError as error:
        outcome = {"outcome": "failed", "detail": _where(error, source)}
    except BaseException as error:
        ours = isinstance(error, ImportError) and error.name is not None  # one of the program's has no name here
        detail = f"{type(error).__name__}: {error} ({_where(error, source)})"
        outcome = {"outcome": "broken" if ours else "raised", "detail": detail}
    if link.gone:
        return {"outcome": "gone", "detail": "the program ended"}
    if outcome["outcome"] == "passed" and not (tests and tests.calls):
        if missing:
            return {"outcome": "raised", "detail": f"the program does not define {', '.join(sorted(missing))[:200]}"}
        return {"outcome": "broken", "detail": "the tests ask nothing of the program"}
    return outcome


def _where(error: BaseException, source: str) -> str:
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "tests.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    lines = source.splitlines()
    return f"line {line} of the tests: {lines[line - 1].strip()[:200]}" if 0 < line <= len(lines) else "in the tests"
