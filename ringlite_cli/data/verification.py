"""Answer verification by agreement with the worked solution (PAPER §2, phase 2, where no model is given).

A trace must satisfy the verifier that will reward responses; a worked solution without a box must arrive at the gold
(solutions.py), and gets the box; an accepted solution must pass its tests in the sandbox;
an answer without a trace must at least agree with itself, or no response could ever be rewarded.
"""

import ast
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from ringlite_cli.data.cleansing import is_benchmark
from ringlite_cli.data.rows import CuratedRow, Drop, Progress, Sifted
from ringlite_cli.data.rules import CODE
from ringlite_cli.data.solutions import Evidence, weigh, with_box
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem, Verdict, Verify, route

Doubts = Callable[[Problem], str | None]
"""Tells why no natural response to a problem would be rewarded; None or "" where one would be."""

BATCH = 512
_BLOCK = re.compile(r"```[^\n`]*+\n(.*?)```", re.S)
OTHER_SOLUTIONS = "other_solutions"
"""The label under which code problems bring more accepted solutions than their trace."""
_KINDS = (  # of a verdict on an accepted solution, first match counts
    ("solution_dependency", re.compile(r"ModuleNotFoundError|ImportError|No module named")),
    ("solution_time", re.compile(r"^time limit|TimeoutError")),
    ("solution_memory", re.compile(r"^memory limit|MemoryError|SIGKILL")),
    ("solution_wrong", re.compile(r"^wrong|AssertionError")),
    ("solution_error", re.compile(r"")),
)


def verify_rows(
    rows: Sequence[CuratedRow],
    verify: Verify,
    progress: Progress | None = None,
    *,
    doubts: Doubts | None = None,
    keep_doubtful: bool = False,
) -> Sifted:
    """Drop what the verifier rejects; mark the rest with what confirmed them.

    doubts: tells why no natural response to a problem would be rewarded. keep_doubtful: keep rows with such an answer,
    or with one that their worked solution contradicts, and list them as doubtful.

    Benchmarks stay whole, so that scores compare; those that the verifier rejects are listed as doubtful.
    """
    sifted = Sifted()
    done = 0
    for batch in _batches(rows):
        if progress:
            progress("verifying answers", done, len(rows))
        before = {id(row): row.problem for row in batch}
        wanted = [row for row in batch if not is_benchmark(row) or _can_be_asked(before[id(row)])]
        problems = {id(row): before[id(row)] for row in wanted}
        found = _weigh_solutions(wanted, problems, verify)
        rejected = _rejected(wanted, problems, verify)
        for row in batch:
            if id(row) not in problems:
                sifted.kept.append(row)
                continue
            drop = rejected.get(id(row))
            _count(before[id(row)], drop, sifted.ran)
            if is_benchmark(row):
                _note_benchmark(row, problems[id(row)], drop, sifted)
            elif drop:
                sifted.drops.append(drop)
                continue
            elif (doubt := _doubt(row, found.get(id(row)), doubts)) and not keep_doubtful:
                sifted.drops.append(doubt)
                continue
            else:
                if doubt:
                    sifted.doubtful.append(doubt)
                    problems[id(row)] = doubted(problems[id(row)], doubt.reason)
                _mark(row, problems[id(row)], before[id(row)], found.get(id(row)), sifted)
            sifted.kept.append(row)
        done += len(batch)
        if progress:
            progress("verifying answers", done, len(rows))
    return sifted


def _weigh_solutions(rows: Sequence[CuratedRow], problems: dict[int, Problem], verify: Verify) -> dict[int, Evidence]:
    """What the solutions without a box say; they get one in `problems` where they confirm the gold, else they go."""
    unboxed = [row for row in rows if row.unboxed]
    found = weigh(unboxed, problems, verify)
    for row in unboxed:
        problem, trace = problems[id(row)], None
        if found[id(row)].says == "confirms":
            trace = with_box(problem.trace or "", gold(problem))
        problems[id(row)] = replace(problem, trace=trace)
    return found


def _doubt(row: CuratedRow, evidence: Evidence | None, doubts: Doubts | None) -> Drop | None:
    """Return why the row's answer is doubtful, although the verifier accepts it."""
    if evidence and evidence.says == "contradicts":
        detail = f"the solution ends in {evidence.result}, the answer is {row.problem.answer}"
        return Drop(row, "answer_disagrees", detail[:500])
    why = doubts(row.problem) if doubts else None
    return Drop(row, "answer_unreachable", why) if why else None


def doubted(problem: Problem, reason: str) -> Problem:
    """The problem with the label `doubtful`, by which sets can leave it out."""
    return replace(problem, labels={**problem.labels, "doubtful": reason})


def same_answers(verify: Verify, pairs: Sequence[tuple[Problem, Problem]]) -> list[bool]:
    """Return whether the answers of each pair of problems are equal in the verifier's eyes, either way round."""
    asked = [(one, boxed(two)) for one, two in pairs] + [(two, boxed(one)) for one, two in pairs]
    rewards = [bool(verdict.reward) for verdict in verify(asked)]
    return [first or second for first, second in zip(rewards[: len(pairs)], rewards[len(pairs) :], strict=True)]


def run_aside(drops: Sequence[Drop], verify: Verify) -> Counter[tuple[str, str]]:
    """(source, outcome) -> accepted solutions of rows that are out for what their prompts say: run for the count."""
    rows = [d.subject for d in drops if isinstance(d.subject, CuratedRow) and writes_code(d.domain)]
    rows = [row for row in rows if CODE.reason(row.problem) is None]
    ran: Counter[tuple[str, str]] = Counter()
    for batch in _batches(rows):
        problems = {id(row): row.problem for row in batch}
        rejected = _rejected(batch, dict(problems), verify)
        for row in batch:
            _count(problems[id(row)], rejected.get(id(row)), ran)
    return ran


def _note_benchmark(row: CuratedRow, problem: Problem, drop: Drop | None, sifted: Sifted) -> None:
    """Doubtful is a benchmark's row where nothing scores; its worked solution may well end in another form."""
    if drop is None:
        row.verified = _confirmed_by(problem)
    elif drop.reason == "answer_disagrees":
        row.verified = "answer"
    else:
        sifted.doubtful.append(drop)


def _can_be_asked(benchmark: Problem) -> bool:
    """Whether a benchmark's row has something that its verifier could confirm: a solution, or an answer to parse."""
    if benchmark.verifier or benchmark.domain not in ("math", "science", "code"):
        return False
    return benchmark.trace is not None if writes_code(benchmark.domain) else benchmark.answer is not None


def _count(problem: Problem, drop: Drop | None, ran: Counter[tuple[str, str]]) -> None:
    if writes_code(problem.domain) and problem.trace:
        ran[problem.source, drop.reason if drop else "passed"] += 1


def _batches(rows: Sequence[CuratedRow]) -> Iterator[Sequence[CuratedRow]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def _rejected(rows: Sequence[CuratedRow], problems: dict[int, Problem], verify: Verify) -> dict[int, Drop]:
    """The drops of those that the verifier rejects, by the id of the row."""
    first = [(problems[id(r)], problems[id(r)].trace or boxed(problems[id(r)])) for r in rows]
    failed = [(r, v) for r, v in zip(rows, verify(first), strict=True) if not v.reward]
    failed = _try_others(failed, problems, verify)
    doubtful = [r for r, _ in failed if problems[id(r)].trace and not writes_code(problems[id(r)].domain)]
    gold = verify([(problems[id(r)], boxed(problems[id(r)])) for r in doubtful])
    parses = {id(r): bool(v.reward) for r, v in zip(doubtful, gold, strict=True)}
    return {id(r): Drop(r, *_reason(problems[id(r)], verdict, parses.get(id(r), False))) for r, verdict in failed}


def _try_others(
    failed: list[tuple[CuratedRow, Verdict]], problems: dict[int, Problem], verify: Verify
) -> list[tuple[CuratedRow, Verdict]]:
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


def _mark(row: CuratedRow, problem: Problem, before: Problem, evidence: Evidence | None, sifted: Sifted) -> None:
    """Note what confirmed the row, and take off what served verification alone."""
    row.verified = "solution" if evidence and evidence.says == "confirms" else _confirmed_by(problem)
    if evidence and evidence.says != "confirms":
        sifted.traces_stripped.append((row, "trace_no_final_answer"))
    row.unboxed = False
    trace = None if row.bad_trace else problem.trace
    labels = {k: v for k, v in problem.labels.items() if k != OTHER_SOLUTIONS}
    row.bad_trace = False
    if trace != before.trace or labels != before.labels:
        row.change(trace=trace, labels=labels)


def boxed(problem: Problem) -> str:
    """The shortest response that gives the gold answer."""
    if route(problem) == "logic-gym":
        return f"<answer>{game_gold(problem) or ''}</answer>"
    return f"\\boxed{{{gold(problem)}}}"


def game_gold(problem: Problem) -> str | None:
    """The answer within the row of reasoning-gym that a logic game's answer is; None where any of several will do."""
    with suppress(ValueError, AttributeError):
        found = json.loads(problem.answer or "").get("answer")
        return None if found is None else str(found)
    return None


def gold(problem: Problem) -> str:
    """The gold answer as text; of several accepted forms, the first."""
    answer = problem.answer or ""
    if answer.startswith("["):
        with suppress(ValueError):
            listed = json.loads(answer)
            if listed and all(isinstance(form, str) for form in listed):
                answer = listed[0]
    return answer


def _confirmed_by(problem: Problem) -> str:
    if not problem.trace or problem.labels.get("answer_from") == "trace":
        return "answer"
    return "solution" if writes_code(problem.domain) else "trace"


def _reason(problem: Problem, verdict: Verdict, parses: bool) -> tuple[str, str]:
    """(reason, detail)"""
    detail = f"{verdict.verdict}: {verdict.detail}".rstrip(": ")[:500]
    if writes_code(problem.domain):
        kind = next(name for name, pattern in _KINDS if pattern.search(detail))
        missing = foreign_imports(problem.trace or "") if kind != "solution_wrong" else []
        return ("solution_dependency", f"imports {', '.join(missing)}; {detail}") if missing else (kind, detail)
    return ("answer_disagrees" if parses else "unparseable_answer"), detail


def foreign_imports(response: str) -> list[str]:
    """Modules beyond Python's own that the program in a response imports."""
    block = _BLOCK.search(response)
    try:
        tree = ast.parse(block[1] if block else "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    return sorted({name.partition(".")[0] for name in names} - sys.stdlib_module_names - {""})
