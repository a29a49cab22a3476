"""Answer verification by agreement with the worked solution (PAPER §2, phase 2, where no model is given).

A trace must satisfy the verifier that will reward responses; an accepted solution must pass its tests in the sandbox;
an answer without a trace must at least agree with itself, or no response could ever be rewarded.
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ringlite_cli.data.cleansing import is_benchmark
from ringlite_cli.data.rows import Drop, Progress, Row, Sifted
from ringlite_cli.problems import Problem, Verdict, Verify

BATCH = 512
_BLOCK = re.compile(r"```[^\n]*\n(.*?)```", re.S)
OTHER_SOLUTIONS = "other_solutions"
"""The label under which code problems bring more accepted solutions than their trace."""
_KINDS = (  # of a verdict on an accepted solution, first match counts
    ("solution_dependency", re.compile(r"ModuleNotFoundError|ImportError|No module named")),
    ("solution_time", re.compile(r"^time limit|TimeoutError")),
    ("solution_memory", re.compile(r"^memory limit|MemoryError|SIGKILL")),
    ("solution_wrong", re.compile(r"^wrong|AssertionError")),
    ("solution_error", re.compile(r"")),
)


def verify_rows(rows: Sequence[Row], verify: Verify, progress: Progress | None = None) -> Sifted:
    """Drops what the verifier rejects; marks the rest with what confirmed them. Benchmarks pass unasked."""
    sifted = Sifted()
    done, asked = 0, sum(not is_benchmark(row) for row in rows)
    for batch in _batches(rows):
        wanted = [row for row in batch if not is_benchmark(row)]
        problems = {id(row): row.problem for row in wanted}
        before = dict(problems)
        rejected = _rejected(wanted, problems, verify)
        for row in batch:
            if drop := rejected.get(id(row)):
                sifted.drops.append(drop)
                continue
            if problem := problems.get(id(row)):
                _mark(row, problem, before[id(row)])
            sifted.kept.append(row)
        done += len(wanted)
        if progress and wanted:
            progress("verifying answers", done, asked)
    return sifted


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def _rejected(rows: Sequence[Row], problems: dict[int, Problem], verify: Verify) -> dict[int, Drop]:
    """The drops of those that the verifier rejects, by the id of the row."""
    first = [(problems[id(r)], problems[id(r)].trace or boxed(problems[id(r)])) for r in rows]
    failed = [(r, v) for r, v in zip(rows, verify(first), strict=True) if not v.reward]
    failed = _try_others(failed, problems, verify)
    doubtful = [r for r, _ in failed if problems[id(r)].trace and problems[id(r)].domain != "code"]
    gold = verify([(problems[id(r)], boxed(problems[id(r)])) for r in doubtful])
    parses = {id(r): bool(v.reward) for r, v in zip(doubtful, gold, strict=True)}
    return {id(r): Drop(r, *_reason(problems[id(r)], verdict, parses.get(id(r), False))) for r, verdict in failed}


def _try_others(
    failed: list[tuple[Row, Verdict]], problems: dict[int, Problem], verify: Verify
) -> list[tuple[Row, Verdict]]:
    """The other accepted solutions of code problems, in turn; the first that passes becomes the trace."""
    pairs = [(r, s) for r, _ in failed for s in problems[id(r)].labels.get(OTHER_SOLUTIONS, ())]
    passing: dict[int, str] = {}
    for (row, solution), verdict in zip(pairs, verify([(problems[id(r)], s) for r, s in pairs]), strict=True):
        if verdict.reward:
            passing.setdefault(id(row), solution)
    for row, _ in failed:
        if id(row) in passing:
            problems[id(row)] = replace(problems[id(row)], trace=passing[id(row)])
    return [(r, v) for r, v in failed if id(r) not in passing]


def _mark(row: Row, problem: Problem, before: Problem) -> None:
    """Notes what confirmed the row, and takes off what served verification alone."""
    row.verified = _confirmed_by(problem)
    trace = None if row.bad_trace else problem.trace
    labels = {k: v for k, v in problem.labels.items() if k != OTHER_SOLUTIONS}
    row.bad_trace = False
    if trace != before.trace or len(labels) != len(before.labels):
        row.change(trace=trace, labels=labels)


def boxed(problem: Problem) -> str:
    """The shortest response that gives the gold answer."""
    return f"\\boxed{{{problem.answer}}}"


def _confirmed_by(problem: Problem) -> str:
    if not problem.trace:
        return "answer"
    return "solution" if problem.domain == "code" else "trace"


def _reason(problem: Problem, verdict: Verdict, parses: bool) -> tuple[str, str]:
    """(reason, detail)"""
    detail = f"{verdict.verdict}: {verdict.detail}".rstrip(": ")[:500]
    if problem.domain == "code":
        kind = next(name for name, pattern in _KINDS if pattern.search(detail))
        missing = foreign_imports(problem.trace or "") if kind != "solution_wrong" else []
        return ("solution_dependency", f"imports {', '.join(missing)}; {detail}") if missing else (kind, detail)
    return ("answer_disagrees" if parses else "unparseable_answer"), detail


def foreign_imports(response: str) -> list[str]:
    """Modules beyond Python's own that the program in a response imports."""
    block = _BLOCK.search(response)
    try:
        tree = ast.parse(block[1] if block else "")
    except (SyntaxError, ValueError, RecursionError):
        return []
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    return sorted({name.partition(".")[0] for name in names} - sys.stdlib_module_names - {""})
