"""Applies the text rules to rows. Benchmarks are left as they are, but for rows that no verifier could score."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ringlite_cli.data.needs import is_for_sft_alone, lacks, problem_reason, trace_reason
from ringlite_cli.data.rows import Drop, Row, Sifted
from ringlite_cli.data.rules import LANGUAGES
from ringlite_cli.data.rules.language import other_language
from ringlite_cli.data.rules.repair import MENDABLE, mended_tests
from ringlite_cli.problems import Problem

if TYPE_CHECKING:
    from ringlite_cli.data.features import Features


NO_SOLUTION = "no_accepted_solution"


def is_benchmark(row: Row) -> bool:
    """A held-out row of a published test set: kept whole, so that scores stay comparable with published ones."""
    return row.split == "eval" and not row.procedural and not row.split_off


def reasons_of(
    problem: Problem, benchmark: bool, languages: Sequence[str], strict: bool = False
) -> tuple[str | None, str | None]:
    """Why the problem is out, and why its trace is; None for what is fine."""
    if benchmark:
        return _unscorable(problem), None
    reason = other_language(problem, languages) or problem_reason(problem, strict=strict)
    return reason, None if reason else trace_reason(problem)


def cleanse(
    rows: Sequence[Row],
    features: "Features | None" = None,
    languages: Sequence[str] = LANGUAGES,
    *,
    require_solution: bool = True,
) -> Sifted:
    """Drops rows that a rule gives a reason for; `features` where the rules were asked already.

    A fault of the trace alone drops a procedural row, and one that is for SFT alone; another problem written by people
    loses the trace and stays, for reinforcement learning needs none. Tests at fault in some cases lose those cases.
    """
    sifted = Sifted()
    for row in rows:
        if features is None:
            reason, of_trace = reasons_of(row.problem, is_benchmark(row), languages, row.strict)
        else:
            reason, of_trace = features.reasons[row.place], features.trace_reasons[row.place]
        if reason in MENDABLE and not row.procedural and (tests := mended_tests(row.problem)):
            row.change(tests=tests)
            sifted.mended.append((row, reason or ""))
            reason, of_trace = reasons_of(row.problem, is_benchmark(row), languages, row.strict)
        if reason == NO_SOLUTION and not require_solution:
            reason = None
        if reason or (of_trace and (row.procedural or is_for_sft_alone(row.problem))):
            sifted.drops.append(Drop(row, reason or of_trace or ""))
            continue
        if of_trace:
            sifted.traces_stripped.append((row, of_trace))
            _take_trace_off(row)
        sifted.kept.append(row)
    return sifted


def _take_trace_off(row: Row) -> None:
    """For code the trace is only marked, for the sandbox has to run the solution first."""
    if row.problem.domain == "code":
        row.bad_trace = True
    else:
        row.change(trace=None)


def _unscorable(problem: Problem) -> str | None:
    if not problem.prompt.strip():
        return "prompt_too_short"
    return lacks(problem)
