"""A prompt source that a thread draws from while the trainer saves its state."""

import threading
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from ringlite_cli.train.rl.prompts import PromptSource


class LockedSource:
    """A PromptSource of which one thread at a time has the use; its state is a copy."""

    def __init__(self, source: PromptSource) -> None:
        self._source, self._lock = source, threading.Lock()
        self.draws_all = source.draws_all

    def draw(self, count: int) -> list[dict[str, Any]]:
        with self._lock:
            return self._source.draw(count)

    def note(self, ids: Sequence[str], rewards: Sequence[Sequence[float | None]]) -> None:
        with self._lock:
            self._source.note(ids, rewards)

    def state(self) -> dict[str, Any]:
        with self._lock:
            return deepcopy(self._source.state())

    def restore(self, state: dict[str, Any]) -> None:
        with self._lock:
            self._source.restore(state)
