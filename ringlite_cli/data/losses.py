"""Why a set is empty or a source gave nothing: the reasons that cost most, each with a row as an example."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ringlite_cli.data.rows import CuratedRow, Drop, Sifted

TOP = 3  # reasons that are named
_TEXT = 80  # characters of an example's prompt

_ADVICE = {
    "no_accepted_solution": "set `tests: {require_solution: false}` to keep such rows",
    "missing_answer": "give `columns:` an answer, or a trace to train on alone",
    "missing_tests": "give `columns:` the tests, or a trace to train on alone",
    "no_verifier": "set `verifier: judge`, or give a trace to train on alone",
    "other_language": "name the language under `languages:`",
}


@dataclass(frozen=True)
class Losses:
    """Rows that are out, and rows that stay without their trace."""

    drops: Sequence[Drop]
    stripped: Sequence[tuple[CuratedRow, str]] = ()

    def told(self, split: str, *, traces: bool) -> list[str]:
        """Return clauses on what a split lost, and on lost traces where `traces` are wanted."""
        told = top_reasons([d for d in self.drops if not isinstance(d.subject, CuratedRow) or d.subject.split == split])
        lost = Counter(reason for row, reason in self.stripped if row.split == split) if traces else Counter()
        return ([f"dropped: {told}"] if told else []) + [
            f"{number} lost their trace for {reason}" for reason, number in lost.most_common(TOP)
        ]


def top_reasons(drops: Sequence[Drop]) -> str:
    """The reasons that cost most rows, as in `missing_answer 8 (row 0 of x.jsonl: "What ...")`; "" without drops."""
    counts = Counter(drop.reason for drop in drops)
    told = []
    for reason, number in counts.most_common(TOP):
        drop = next(d for d in drops if d.reason == reason)
        words = " ".join(drop.problem.prompt.split())
        words = words if len(words) <= _TEXT else words[: _TEXT - 4] + " ..."
        detail = f"; {drop.detail}" if drop.detail else ""
        advice = f"; {_ADVICE[reason]}" if reason in _ADVICE else ""
        told.append(f'{reason} {number} (row {drop.problem.index} of {drop.source}: "{words}"{detail}{advice})')
    return ", ".join(told)


def silent_sources(sources: Mapping[str, Sequence[CuratedRow]], sifted: Sifted) -> list[str]:
    """A warning for each source (name -> its rows) none of whose rows came through."""
    kept = {id(row) for row in sifted.kept}
    found = []
    for name, rows in sources.items():
        if any(id(row) in kept for row in rows):
            continue
        held = "the held-out source" if rows and rows[0].split != "train" else "the source"
        drops = [drop for drop in sifted.drops if drop.source == name]
        found.append(f"{held} {name} gave no row; dropped: {top_reasons(drops)}")
    return found
