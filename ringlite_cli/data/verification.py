"""Answer verification by agreement with the worked solution (PAPER §2, phase 2, where no model is given).

A trace must satisfy the verifier that will reward responses; an accepted solution must pass its tests in the sandbox;
an answer without a trace must at least agree with itself, or no response could ever be rewarded.
"""

from collections.abc import Sequence
from dataclasses import replace

from ringlite_cli.data.cleansing import is_benchmark
from ringlite_cli.data.rows import Drop, Progress, Row, Sifted
from ringlite_cli.problems import Problem, Verdict, Verify

BATCH = 512


def verify_rows(rows: Sequence[Row], verify: Verify, progress: Progress | None = None) -> Sifted:
    """Drops what the verifier rejects; marks the rest with what confirmed them. Benchmarks pass unasked."""
    asked = [row for row in rows if not is_benchmark(row)]
    first = [(r.problem, r.problem.trace or boxed(r.problem)) for r in asked]
    verdicts = dict(zip(map(id, asked), _in_batches(first, verify, "verifying", progress), strict=True))
    doubtful = [r for r in asked if not verdicts[id(r)].reward and r.problem.trace and r.problem.domain != "code"]
    gold = _in_batches([(r.problem, boxed(r.problem)) for r in doubtful], verify, "verifying answers", progress)
    parses = {id(r): bool(v.reward) for r, v in zip(doubtful, gold, strict=True)}
    sifted = Sifted()
    for row in rows:
        verdict = verdicts.get(id(row))
        if verdict is None or verdict.reward:
            confirmed = _confirmed_by(row.problem) if verdict else ""
            problem = replace(row.problem, trace=None) if row.bad_trace else row.problem
            sifted.kept.append(replace(row, problem=problem, verified=confirmed))
        else:
            sifted.drops.append(_rejected(row.problem, verdict, parses.get(id(row), False)))
    return sifted


def boxed(problem: Problem) -> str:
    """The shortest response that gives the gold answer."""
    return f"\\boxed{{{problem.answer}}}"


def _confirmed_by(problem: Problem) -> str:
    if not problem.trace:
        return "answer"
    return "solution" if problem.domain == "code" else "trace"


def _rejected(problem: Problem, verdict: Verdict, parses: bool) -> Drop:
    if problem.domain == "code":
        reason = "solution_rejected"
    else:
        reason = "answer_disagrees" if parses else "unparseable_answer"
    return Drop(problem, reason, f"{verdict.verdict}: {verdict.detail}".rstrip(": ")[:500])


def _in_batches(
    pairs: Sequence[tuple[Problem, str]], verify: Verify, what: str, progress: Progress | None
) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for start in range(0, len(pairs), BATCH):
        verdicts += verify(pairs[start : start + BATCH])
        if progress:
            progress(what, len(verdicts), len(pairs))
    return verdicts
