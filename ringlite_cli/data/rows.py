"""What curation carries along with a problem, what it notes of one that it drops, and where the text stays meanwhile.

A row's text stands in memory, or in a spool file when there are many: then a row is a place in that file, and its
problem is read anew each time it is asked for. So memory grows by about 200 bytes a row, however long the texts.
"""

import json
import os
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ringlite_cli.problems import Problem

Progress = Callable[[str, int, int], None]
"""Told (what is being done, done, total) now and then."""


class Spool:
    """Problems in a temporary file, appended and read back by offset. Close it when done; the file goes with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb+", buffering=1 << 20)
        self._end = self._flushed = 0

    def add(self, problem: Problem) -> int:
        """Appends a problem and returns its offset."""
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


_TEXTS = ("id", "domain", "prompt", "answer", "trace", "source", "verifier", "tests", "labels")
_JSON_TEXTS = frozenset({"tests", "labels"})
_HEAD = struct.Struct(f"<q{len(_TEXTS)}i")  # the index; the bytes of each text, -1 for None


def _packed(problem: Problem) -> bytes:
    """The texts of a problem one after the other, behind their sizes."""
    texts: list[bytes | None] = []
    for name in _TEXTS:
        value = getattr(problem, name)
        if name in _JSON_TEXTS:
            value = json.dumps(value) if value else None
        texts.append(None if value is None else value.encode("utf-8", "surrogatepass"))
    sizes = [-1 if text is None else len(text) for text in texts]
    return _HEAD.pack(problem.index, *sizes) + b"".join(text for text in texts if text)


def _unpacked(data: bytes) -> Problem:
    index, *sizes = _HEAD.unpack_from(data)
    values: dict[str, Any] = {"index": index}
    start = _HEAD.size
    for name, size in zip(_TEXTS, sizes, strict=True):
        stop = start + max(size, 0)
        text = None if size < 0 else data[start:stop].decode("utf-8", "surrogatepass")
        values[name] = json.loads(text) if text and name in _JSON_TEXTS else text
        start = stop
    return Problem(**values | {"labels": values["labels"] or {}})


def read_spooled(descriptor: int, offset: int) -> Problem:
    """The problem at an offset of an open spool file; for other processes too."""
    start = os.pread(descriptor, 4096, offset)
    size = int.from_bytes(start[:4], "little")
    data = start[4 : 4 + size] if size <= len(start) - 4 else os.pread(descriptor, size, offset + 4)
    return _unpacked(data)


_NOWHERE = Problem("", "", "")


class Row:
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
        """Where the problem stands in the spool; -1 for a row that is in memory."""
        return self._offset

    def move_to(self, spool: Spool) -> None:
        """Puts the text into the spool; the row keeps the place."""
        self._offset, self._spool, self._problem = spool.add(self.problem), spool, None

    @classmethod
    def spooled(cls, spool: Spool, offset: int, split: str) -> "Row":
        """Return a row whose problem stands in a spool already."""
        row = cls(_NOWHERE, split)
        row._offset, row._spool, row._problem = offset, spool, None
        return row

    def change(self, **fields: Any) -> None:
        """Replaces fields of the problem."""
        self.problem = replace(self.problem, **fields)

    def __repr__(self) -> str:
        return f"Row({self.problem!r}, {self.split!r})"


@dataclass(frozen=True, slots=True)
class Drop:
    """A row that is out, with its reason; `against` is the row it repeats, at similarity `score` (0 to 1)."""

    subject: Problem | Row
    reason: str
    detail: str = ""
    against: Problem | Row | None = None
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
        return self.subject.problem if isinstance(self.subject, Row) else self.subject

    @property
    def other(self) -> Problem | None:
        return self.against.problem if isinstance(self.against, Row) else self.against

    @property
    def number(self) -> int:
        """The position among all loaded rows; -1 for what was never a row."""
        return self.subject.number if isinstance(self.subject, Row) else -1

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

    kept: list[Row] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    traces_stripped: list[tuple[Row, str]] = field(default_factory=list)
    mended: list[tuple[Row, str]] = field(default_factory=list)
    doubtful: list[Drop] = field(default_factory=list)
    ran: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: dict[str, Any] = field(default_factory=dict)
