"""What curation carries along with a problem, what it notes of one that it drops, and where the text stays meanwhile.

A row's text stands in memory, or in a spool file when there are many: then a row is a place in that file, and its
problem is read anew each time it is asked for. So memory grows by about 200 bytes a row, however long the texts.
"""

import json
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ringlite_cli.problems import Problem

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Told (what is being done, done, total) now and then."""


_TICK = 4096


def ticking(items: Iterable[T], what: str, progress: Progress | None, total: int) -> Iterator[T]:
    """Yield the items, and tell `progress` at the start and every few thousand how many have passed."""
    for number, item in enumerate(items):
        if progress and number % _TICK == 0:
            progress(what, number, total)
        yield item


class Spool:
    """Problems in a temporary file, appended and read back by offset. Close it when done; the file goes with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb+", buffering=1 << 20)
        self._end = self._flushed = 0

    def add(self, problem: Problem) -> int:
        """Append a problem and return its offset."""
        data = _packed(problem)
        offset = self._end
        self._file.write(len(data).to_bytes(4, "little") + data)
        self._end += 4 + len(data)
        return offset

    def read(self, offset: int) -> Problem:
        if offset >= self._flushed:
            self.flush()
        return read_spooled(self._file.fileno(), offset)

    @classmethod
    def reopen(cls, path: Path) -> "Spool":
        """Open a spool that `leave` left; what is added goes to its end."""
        spool = cls.__new__(cls)
        spool.path = path
        spool._file = path.open("ab+")
        spool._end = spool._flushed = path.stat().st_size
        return spool

    def flush(self) -> None:
        self._file.flush()
        self._flushed = self._end

    def leave(self) -> None:
        """Close the spool and keep its file, which another process may reopen."""
        self._file.close()

    def close(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


_TEXTS = 9  # id, domain, prompt, answer, trace, source, verifier; tests and labels as JSON
_HEAD = struct.Struct(f"<q{_TEXTS}i")  # the index; the bytes of each text, -1 for None


def _packed(problem: Problem) -> bytes:
    """The texts of a problem one after the other, behind their sizes."""
    tests, labels = problem.tests, problem.labels
    texts = (
        problem.id,
        problem.domain,
        problem.prompt,
        problem.answer,
        problem.trace,
        problem.source,
        problem.verifier,
        json.dumps(tests) if tests else None,
        json.dumps(labels) if labels else None,
    )
    written = [None if text is None else text.encode("utf-8", "surrogatepass") for text in texts]
    sizes = [-1 if text is None else len(text) for text in written]
    return _HEAD.pack(problem.index, *sizes) + b"".join(filter(None, written))


def _unpacked(data: bytes) -> Problem:
    index, *sizes = _HEAD.unpack_from(data)
    whole = data[_HEAD.size :].decode("utf-8", "surrogatepass")
    plain = len(whole) == len(data) - _HEAD.size  # ASCII: sizes in bytes are sizes in characters
    texts: list[str | None] = []
    start = 0 if plain else _HEAD.size
    for size in sizes:
        if size < 0:
            texts.append(None)
            continue
        stop = start + size
        texts.append(whole[start:stop] if plain else data[start:stop].decode("utf-8", "surrogatepass"))
        start = stop
    ident, domain, prompt, answer, trace, source, verifier, tests, labels = texts
    return Problem(
        ident or "",
        domain or "",
        prompt or "",
        answer,
        json.loads(tests) if tests else None,
        trace,
        source or "",
        index,
        verifier or "",
        json.loads(labels) if labels else {},
    )


def read_spooled(descriptor: int, offset: int) -> Problem:
    """The problem at an offset of an open spool file; for other processes too."""
    start = os.pread(descriptor, 4096, offset)
    size = int.from_bytes(start[:4], "little")
    data = start[4 : 4 + size] if size <= len(start) - 4 else os.pread(descriptor, size, offset + 4)
    return _unpacked(data)


_NOWHERE = Problem("", "", "")


class CuratedRow:
    """A problem under curation.

    procedural: made by a generator, so that its neighbours may differ in nothing but numbers.
    bad_trace:  the trace is of use to verify the row, but not to train on; it comes off after verification.
    unboxed:    the trace has no box; verification reads its result in another form, and gives it one or takes it off.
    split_off:  of a source that curation split; held out, it is no published benchmark and must pass the rules.
    strict:     made or published with an answer or tests, so that one without them is faulty, not for SFT alone.
    verified:   what confirmed the label: "trace", "solution", "answer" (it parses), "models" or "" (nothing yet).
    place:      its position in the features that were measured of its split (features.py).
    number:     its position among all rows that were loaded.
    """

    __slots__ = (
        "_offset",
        "_problem",
        "_spool",
        "bad_trace",
        "number",
        "place",
        "procedural",
        "split",
        "split_off",
        "strict",
        "unboxed",
        "verified",
    )

    def __init__(
        self, problem: Problem, split: str, procedural: bool = False, bad_trace: bool = False, verified: str = ""
    ) -> None:
        self._problem: Problem | None = problem
        self._spool: Spool | None = None
        self._offset = -1
        self.split, self.procedural, self.bad_trace, self.verified = split, procedural, bad_trace, verified
        self.place = self.number = -1
        self.unboxed = False
        self.strict = procedural
        self.split_off = False

    @property
    def problem(self) -> Problem:
        if self._problem is not None:
            return self._problem
        assert self._spool is not None
        return self._spool.read(self._offset)

    @problem.setter
    def problem(self, problem: Problem) -> None:
        if self._spool is None:
            self._problem = problem
        else:
            self._offset = self._spool.add(problem)

    @property
    def spool(self) -> Spool | None:
        return self._spool

    @property
    def offset(self) -> int:
        """Return the offset of the problem in the spool; -1 for a row that is in memory."""
        return self._offset

    def move_to(self, spool: Spool) -> None:
        """Put the text into the spool; the row keeps the place."""
        self._offset, self._spool, self._problem = spool.add(self.problem), spool, None

    @classmethod
    def spooled(cls, spool: Spool, offset: int, split: str) -> "CuratedRow":
        """Return a row whose problem stands in a spool already."""
        row = cls(_NOWHERE, split)
        row._offset, row._spool, row._problem = offset, spool, None
        return row

    def change(self, **fields: Any) -> None:
        """Replace fields of the problem."""
        self.problem = replace(self.problem, **fields)

    def __repr__(self) -> str:
        return f"CuratedRow({self.problem!r}, {self.split!r})"


@dataclass(frozen=True, slots=True)
class Drop:
    """A row that is out, with its reason; `against` is the row it repeats, at similarity `score` (0 to 1)."""

    subject: Problem | CuratedRow
    reason: str
    detail: str = ""
    against: Problem | CuratedRow | None = None
    score: float | None = None
    source: str = ""
    domain: str = ""

    def __post_init__(self) -> None:
        if not self.domain:  # kept beside, so that counting needs no text
            problem = self.problem
            object.__setattr__(self, "source", problem.source)
            object.__setattr__(self, "domain", problem.domain)

    @property
    def problem(self) -> Problem:
        return self.subject.problem if isinstance(self.subject, CuratedRow) else self.subject

    @property
    def other(self) -> Problem | None:
        return self.against.problem if isinstance(self.against, CuratedRow) else self.against

    @property
    def number(self) -> int:
        """The position among all loaded rows; -1 for what was never a row."""
        return self.subject.number if isinstance(self.subject, CuratedRow) else -1

    def as_row(self) -> dict[str, Any]:
        """The line of dropped.jsonl."""
        p, other = self.problem, self.other
        row: dict[str, Any] = {
            "id": p.id,
            "source": p.source,
            "index": p.index,
            "domain": p.domain,
            "reason": self.reason,
            "prompt": p.prompt,
            "answer": p.answer,
        }
        if p.tests:
            row["tests"] = p.tests
        if self.detail:
            row["detail"] = self.detail
        if other is not None:
            row |= {
                "other_id": other.id,
                "other_source": other.source,
                "other_index": other.index,
                "other_prompt": other.prompt,
                "other_answer": other.answer,
                "score": None if self.score is None else round(self.score, 4),
            }
        return row


@dataclass(slots=True)
class Sifted:
    """What a step of curation leaves: rows that go on, rows that are out, and what was taken off rows that stay.

    traces_stripped, mended: rows that lost their trace, or cases of their tests, and why.
    doubtful: rows that stay although something speaks against their answer, and what: held-out rows that the verifier
      rejects, and others where the recipe keeps them.
    ran: (source, "passed" or how it failed) -> accepted solutions that were run, those of rows that are out too.
    notes: what else the funnel should say.
    """

    kept: list[CuratedRow] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    traces_stripped: list[tuple[CuratedRow, str]] = field(default_factory=list)
    mended: list[tuple[CuratedRow, str]] = field(default_factory=list)
    doubtful: list[Drop] = field(default_factory=list)
    ran: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: dict[str, Any] = field(default_factory=dict)
