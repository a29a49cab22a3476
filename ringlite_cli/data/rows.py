"""What curation carries along with a problem, and what it notes of one that it drops."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ringlite_cli.problems import Problem

Progress = Callable[[str, int, int], None]
"""Told (what is being done, done, total) now and then."""


@dataclass(slots=True)
class Row:
    """A problem under curation.

    procedural: made by a generator, so that its neighbours may differ in nothing but numbers.
    bad_trace:  the trace is of use to verify the row, but not to train on; it comes off after verification.
    verified:   what confirmed the label: "trace", "solution", "answer" (it parses) or "" (nothing yet).
    """

    problem: Problem
    split: str
    procedural: bool = False
    bad_trace: bool = False
    verified: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """A row that is out, with its reason; `other` is the row it repeats, at similarity `score` (0 to 1)."""

    problem: Problem
    reason: str
    detail: str = ""
    other: Problem | None = None
    score: float | None = None

    def as_row(self) -> dict[str, Any]:
        """The line of dropped.jsonl."""
        p = self.problem
        row: dict[str, Any] = {
            "id": p.id,
            "source": p.source,
            "index": p.index,
            "domain": p.domain,
            "reason": self.reason,
            "prompt": p.prompt,
        }
        if self.detail:
            row["detail"] = self.detail
        if self.other is not None:
            row |= {
                "other_id": self.other.id,
                "other_source": self.other.source,
                "other_index": self.other.index,
                "other_prompt": self.other.prompt,
                "score": None if self.score is None else round(self.score, 4),
            }
        return row


@dataclass(slots=True)
class Sifted:
    """What a step of curation leaves: rows that go on, rows that are out, and traces taken off rows that stay."""

    kept: list[Row] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    traces_stripped: list[tuple[Problem, str]] = field(default_factory=list)
