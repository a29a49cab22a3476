"""Whole groups of responses within a number of bytes: a sample by a hash, the same for the same files."""

import hashlib
import heapq
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Sample:
    """Keeps the groups whose keys have the smallest hashes, as many as fit into `most` bytes.

    Groups of one key stay or go together. What is kept depends on keys and sizes alone, and never on rewards.
    groups, rows: of all that were added.
    """

    most: int
    groups: int = 0
    rows: int = 0
    _size: int = 0
    _limit: int = 1 << 64
    _heap: list[tuple[int, int, int, Any]] = field(default_factory=list)

    def add(self, key: str, group: Any, rows: int, size: int) -> None:
        """Offer a group of `rows` responses that takes `size` bytes."""
        self.groups += 1
        self.rows += rows
        mark = int.from_bytes(hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "big")
        if mark >= self._limit:
            return
        heapq.heappush(self._heap, (-mark, self.groups, size, group))
        self._size += size
        while self._size > self.most and len(self._heap) > 1:
            self._limit = -self._heap[0][0]
            while len(self._heap) > 1 and -self._heap[0][0] >= self._limit:
                self._size -= heapq.heappop(self._heap)[2]

    def kept(self) -> list[Any]:
        """Return the kept groups in the order in which they came."""
        return [group for _, _, _, group in sorted(self._heap, key=lambda each: each[1])]
