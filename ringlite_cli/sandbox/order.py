"""Which test of a problem to run first: the one that has caught the most programs so far."""

import hashlib
import marshal
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

_PROBLEMS = 4096


class CatchOrder:
    """What each test of each problem has caught. Thread-safe; the last 4,096 problems are remembered.

    The order changes which test a wrong program fails first, never whether it fails.
    """

    def __init__(self) -> None:
        self._caught: OrderedDict[bytes, Counter[int]] = OrderedDict()
        self._lock = threading.Lock()

    def order(self, tests: Mapping[str, Any]) -> list[int]:
        """The places of the cases, most catches first, else as listed."""
        count = len(tests["cases"])
        if count < 2:
            return list(range(count))
        with self._lock:
            caught = self._caught.get(_key(tests))
            return list(range(count)) if caught is None else sorted(range(count), key=lambda place: -caught[place])

    def note(self, tests: Mapping[str, Any], place: int) -> None:
        """The case at `place` caught a program."""
        if len(tests["cases"]) < 2:
            return
        key = _key(tests)
        with self._lock:
            self._caught.setdefault(key, Counter())[place] += 1
            self._caught.move_to_end(key)
            if len(self._caught) > _PROBLEMS:
                self._caught.popitem(last=False)


def _key(tests: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(marshal.dumps((tests.get("entry_point"), tests["cases"]), 2)).digest()
