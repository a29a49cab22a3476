"""What test code defines and leaves to a runner: `unittest` cases, functions and classes named as pytest finds them.

Test code that only defines its tests would pass any program. So cases that nobody ran are run, and a failure counts
wherever it was noted: `unittest.main(exit=False)`, or a result that nobody looks at, passes nothing.
"""

import types
import unittest
from collections.abc import Callable, Iterator
from typing import Any


class Watch:
    """Notes what every `unittest` result of this process hears, from its making on."""

    def __init__(self) -> None:
        self.ran = 0
        self.failures: list[BaseException] = []
        kind: Any = unittest.TestResult
        for name in ("addFailure", "addError"):
            setattr(kind, name, self._noting(getattr(kind, name), lambda args: args[1][1]))
        kind.addSubTest = self._noting(kind.addSubTest, lambda args: args[2] and args[2][1])
        kind.addUnexpectedSuccess = self._noting(kind.addUnexpectedSuccess, lambda args: AssertionError("no failure"))
        kind.startTest = self._counting(kind.startTest)

    def _noting(
        self, method: Callable[..., None], error_of: Callable[[tuple[Any, ...]], BaseException | None]
    ) -> Callable[..., None]:
        def noted(result: Any, *args: Any) -> None:
            if (error := error_of(args)) is not None:
                self.failures.append(error)
            method(result, *args)

        return noted

    def _counting(self, method: Callable[..., None]) -> Callable[..., None]:
        def counted(result: Any, test: Any) -> None:
            self.ran += 1
            method(result, test)

        return counted


def run_defined(space: dict[str, Any], named: set[str], watch: Watch) -> None:
    """Run the tests in `space` that nobody has run; the first failure is raised.

    named: the names that the test code itself reads: a function among them has its caller.
    """
    if not watch.ran:
        suite = unittest.TestSuite()
        for kind in _classes(space):
            if issubclass(kind, unittest.TestCase):
                suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(kind))
        suite.run(unittest.TestResult())
    if watch.failures:
        raise watch.failures[0]
    for name, value in list(space.items()):
        if name.startswith("test") and name not in named and _takes_nothing(value):
            value()
    for kind in _classes(space):
        if kind.__name__.startswith("Test") and kind.__name__ not in named and not issubclass(kind, unittest.TestCase):
            for name in [n for n in dir(kind) if n.startswith("test")]:
                _run_method(kind(), name)


def _classes(space: dict[str, Any]) -> Iterator[type]:
    for value in list(space.values()):
        if isinstance(value, type) and value.__module__ == "__main__":
            yield value


def _takes_nothing(value: Any) -> bool:
    if not isinstance(value, types.FunctionType) or value.__code__.co_filename != "tests.py":
        return False
    code = value.__code__
    return code.co_argcount == len(value.__defaults__ or ()) and not code.co_kwonlyargcount


def _run_method(instance: Any, name: str) -> None:
    for step in ("setup_method", name, "teardown_method"):
        if hasattr(instance, step):
            getattr(instance, step)()
