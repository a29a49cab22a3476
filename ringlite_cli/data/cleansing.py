"""Runs the text rules over rows. Benchmarks are left as they are, but for rows that no verifier could score."""

from collections.abc import Sequence
from dataclasses import replace

from ringlite_cli.data.rows import Drop, Row, Sifted
from ringlite_cli.data.rules import PROBLEM_FAMILIES, TRACES
from ringlite_cli.data.rules.answers import missing_answer
from ringlite_cli.data.rules.code import missing_tests
from ringlite_cli.problems import Problem


def is_benchmark(row: Row) -> bool:
    """A held-out row written by people: kept whole, so that scores stay comparable with published ones."""
    return row.split == "eval" and not row.procedural


def cleanse(rows: Sequence[Row]) -> Sifted:
    """Drops rows that a rule gives a reason for.

    A fault of the trace alone drops a procedural row; a problem written by people loses the trace and stays, for
    reinforcement learning needs none.
    """
    sifted = Sifted()
    for row in rows:
        problem = row.problem
        reason = _unscorable(problem) if is_benchmark(row) else _problem_reason(problem)
        trace_reason = None if reason or is_benchmark(row) else TRACES.reason(problem)
        if reason or (trace_reason and row.procedural):
            sifted.drops.append(Drop(problem, reason or trace_reason or ""))
        elif trace_reason:
            sifted.traces_stripped.append((problem, trace_reason))
            sifted.kept.append(_without_trace(row))
        else:
            sifted.kept.append(row)
    return sifted


def _without_trace(row: Row) -> Row:
    """The row with its trace gone; for code only marked, for the sandbox has to run the solution first."""
    if row.problem.domain == "code":
        return replace(row, bad_trace=True)
    return replace(row, problem=replace(row.problem, trace=None))


def _unscorable(problem: Problem) -> str | None:
    if not problem.prompt.strip():
        return "prompt_too_short"
    return missing_answer(problem) or missing_tests(problem)


def _problem_reason(problem: Problem) -> str | None:
    return next((reason for family in PROBLEM_FAMILIES if (reason := family.reason(problem))), None)
