"""Mode unit, the tests' process: runs test code to an outcome."""

import importlib
from collections.abc import Callable
from typing import Any

from . import collected
from .link import Gone, Peer
from .peer import Tests
from .uses import Uses, uses_of


def run_tests(
    link: Peer, source: str, space: dict[str, Any], entry_point: str = "", leetcode: Callable[[], dict[str, Any]] = dict
) -> dict[str, str]:
    """Run the tests' source against the served program, and the tests that it defines and nobody ran.

    entry_point: the one name that the tests take from the program, where they say it. leetcode: makes the names that
    tests for a `class Solution` have.
    Returns {"outcome", "detail"}; outcome is passed, failed (an assertion), raised (an exception that reached the
    tests' top), gone (the program's process ended) or broken (the tests are not Python, import what is not there, or
    ask nothing of the program).
    """
    try:
        offered = leetcode()
        uses = uses_of(source, entry_point, frozenset(offered))
        code = compile(source, "tests.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {"outcome": "broken", "detail": f"the tests do not compile: {error}"}
    watch, tests, missing = collected.Watch(), None, set[str]()
    outcome = {"outcome": "passed", "detail": ""}
    try:
        _furnish(space, uses, offered)
        link.send({"used": sorted(uses.names), "leetcode": uses.leetcode})
        kinds = link.receive().get("names")
        if not isinstance(kinds, dict):
            raise Gone("the program ended")
        tests, missing = Tests(link, uses), uses.names - kinds.keys()
        for name in sorted(uses.names & kinds.keys()):
            space[name] = tests.bind(name, str(kinds[name]))
        try:
            exec(code, space)
        except SystemExit as stop:  # the tests' own, as unittest.main ends; the program's arrives as Raised
            if stop.code not in (None, 0, False) and not watch.failures:
                return {"outcome": "failed", "detail": f"the tests left with {stop.code!r}"}
        collected.run_defined(space, uses.read, watch)
    except Gone:
        link.gone = True
    except AssertionError as error:
        outcome = {"outcome": "failed", "detail": _where(error, source)}
    except BaseException as error:
        ours = isinstance(error, ImportError) and error.name is not None  # one of the program's has no name here
        detail = f"{type(error).__name__}: {error} ({_where(error, source)})"
        outcome = {"outcome": "broken" if ours else "raised", "detail": detail}
    if tests is not None and tests.left:
        outcome = {"outcome": "failed", "detail": "the program called what ends the tests"}
    if link.gone:
        return {"outcome": "gone", "detail": "the program ended"}
    if outcome["outcome"] == "passed" and not (tests and tests.calls):
        if missing:
            return {"outcome": "raised", "detail": f"the program does not define {', '.join(sorted(missing))[:200]}"}
        return {"outcome": "broken", "detail": "the tests ask nothing of the program"}
    return outcome


def _furnish(space: dict[str, Any], uses: Uses, offered: dict[str, Any]) -> None:
    """Put into the tests' globals what is theirs: modules, LeetCode's names, helpers of known benchmarks."""
    for name in uses.modules:
        space[name] = importlib.import_module(name)
    if uses.leetcode:
        space.update(offered)
    exec(uses.helpers, space)


def _where(error: BaseException, source: str) -> str:
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "tests.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    lines = source.splitlines()
    return f"line {line} of the tests: {lines[line - 1].strip()[:200]}" if 0 < line <= len(lines) else "in the tests"
