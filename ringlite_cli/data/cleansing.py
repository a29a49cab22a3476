"""Applies the text rules to rows. Benchmarks are left as they are, but for rows that no verifier could score."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ringlite_cli.data.needs import is_for_sft_alone, lacks, problem_reason, trace_reason
from ringlite_cli.data.rows import CuratedRow, Drop, Progress, Sifted, ticking
from ringlite_cli.data.rules import LANGUAGES
from ringlite_cli.data.rules.language import language_of
from ringlite_cli.data.rules.repair import MENDABLE, mended_tests
from ringlite_cli.data.solutions import READ, last_result
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem

if TYPE_CHECKING:
    from ringlite_cli.data.features import Features


NO_SOLUTION = "no_accepted_solution"


def is_benchmark(row: CuratedRow) -> bool:
    """A held-out row of a published test set: kept whole, so that scores stay comparable with published ones."""
    return row.split == "eval" and not row.procedural and not row.split_off


def reasons_of(
    problem: Problem, benchmark: bool, languages: Sequence[str], core: str | None = None, *, strict: bool = False
) -> tuple[str | None, str | None]:
    """Return why the problem is out, and why its trace is; None for what is fine.

    core: the prompt without what its source's prompts share, which may be in another language than the problem.
    strict: the row must have all that its route needs.
    """
    if benchmark:
        return _unscorable(problem), None
    reason = None if language_of(problem.prompt if core is None else core) in languages else "other_language"
    reason = reason or problem_reason(problem, strict=strict)
    return reason, None if reason else trace_reason(problem)


def cleanse(
    rows: Sequence[CuratedRow],
    features: "Features | None" = None,
    languages: Sequence[str] = LANGUAGES,
    *,
    require_solution: bool = True,
    progress: Progress | None = None,
) -> Sifted:
    """Drop rows that a rule gives a reason for; `features` where the rules were asked already.

    A fault of the trace alone drops a procedural row, and one that is for SFT alone; another problem written by people
    loses the trace and stays, for reinforcement learning needs none. Tests at fault in some cases lose those cases.
    """
    sifted = Sifted()
    for row in ticking(rows, "applying the rules", progress, len(rows)):
        if features is None:
            reason, of_trace = reasons_of(row.problem, is_benchmark(row), languages, strict=row.strict)
        else:
            reason, of_trace = features.reasons[row.place], features.trace_reasons[row.place]
        if reason in MENDABLE and not row.procedural and (tests := mended_tests(row.problem)):
            row.change(tests=tests)
            sifted.mended.append((row, reason or ""))
            reason, of_trace = reasons_of(row.problem, is_benchmark(row), languages, strict=row.strict)
        if reason == NO_SOLUTION and not require_solution:
            reason = None
        if reason or (of_trace and (row.procedural or is_for_sft_alone(row.problem))):
            sifted.drops.append(Drop(row, reason or of_trace or ""))
            continue
        if of_trace == "trace_no_final_answer" and _states_a_value(row.problem):
            row.unboxed = True  # verification weighs what it arrives at
        elif of_trace:
            sifted.traces_stripped.append((row, of_trace))
            _take_trace_off(row)
        sifted.kept.append(row)
    return sifted


def _states_a_value(problem: Problem) -> bool:
    return (problem.verifier or problem.domain) in READ and last_result(problem.trace or "") is not None


def _take_trace_off(row: CuratedRow) -> None:
    """Remove the trace; for code only mark it, since the sandbox has to run the solution first."""
    if writes_code(row.problem.domain):
        row.bad_trace = True
    else:
        row.change(trace=None)


def _unscorable(problem: Problem) -> str | None:
    if not problem.prompt.strip():
        return "prompt_too_short"
    return lacks(problem)
