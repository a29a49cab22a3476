"""Worked traces for SFT straight from a file or the hub, by the same adapters as curation, without its checks.

No verifier reads them: every trace is labelled `verified_by: none`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

from ringlite_cli.data.needs import UNGRADED
from ringlite_cli.data.readers import read_file
from ringlite_cli.data.sources import Loaded, check_readable, load_sources, local_files, read_first
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.schema import Source, TraceSource


@dataclass(frozen=True, slots=True)
class Traces:
    """The problems with a trace; how many rows were read, how many of them could not be, and why the first."""

    problems: list[Problem]
    rows: int
    unreadable: int
    why: str

    def account(self) -> dict[str, int]:
        """Return the counts, as JSON."""
        read = self.rows - self.unreadable
        return {
            "rows": self.rows,
            "rows_unreadable": self.unreadable,
            "rows_without_trace": read - len(self.problems),
        }


def load_traces(given: TraceSource, seed: int) -> Traces:
    """Return the traces of a source. Raises UserError where it can't be read, or most of its rows can't."""
    (loaded,) = load_sources([source_of(given)], seed=seed, generators={}, max_unreadable=given.max_unreadable)
    return _traces(loaded)


def first_traces(given: TraceSource, rows: int) -> Traces:
    """Return the traces of a source's first rows. Raises UserError where most of these can't be read.

    Of a source that goes on behind them, a column that they lack may come later.
    """
    loaded, counted = read_first(source_of(given), min(rows, given.rows or rows))
    if counted.rows_in < rows or counted.unreadable == counted.rows_in:
        check_readable(source_of(given), [counted], given.max_unreadable)
    return _traces(loaded)


def _traces(loaded: Loaded) -> Traces:
    problems = [row.problem for row in loaded.rows]
    traced = [replace(p, labels={**p.labels, "verified_by": UNGRADED}) for p in problems if p.trace]
    first = loaded.unreadable[0] if loaded.unreadable else None
    why = f"row {first.problem.index}: {first.detail}" if first else ""
    return Traces(traced, loaded.rows_in, len(loaded.unreadable), why)


def source_of(given: TraceSource) -> Source:
    """Return the source as curation would have it; rows without an adapter are looked at for what they are."""
    keys = given.model_dump(exclude={"max_unreadable"})
    if given.adapter or given.columns:
        return Source(**keys)
    files = local_files(Source(**keys))
    first = next((row for file in files[:1] for row in islice(read_file(file), 1)), None)
    own = isinstance(first, Mapping) and isinstance(first.get("prompt"), str) and "trace" in first
    return Source(**{**keys, "adapter": "problems" if own else "chat"})
