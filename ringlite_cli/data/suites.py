"""Orders the test cases of code problems by what they catch: first those that most wrong programs fail.

Wrong programs are those that the source knows to be wrong. The label `wrong_programs_caught` is the share of them that
fail. Without them the cases stay as they are: the sandbox learns at run time which case to run first.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ringlite_cli.data.rows import CuratedRow, Progress
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem, Verify

WRONG_SOLUTIONS = "wrong_solutions"
"""The label under which code problems bring programs that are known to be wrong."""

_CASE = re.compile(r"\bcase (\d+)\b")
_BATCH = 64


def order_tests(rows: Sequence[CuratedRow], verify: Verify, progress: Progress | None = None) -> int:
    """Order the cases of the train rows that have several, by what they catch; return how many rows changed."""
    wanted = [r for r in rows if r.split == "train" and _has_cases(r.problem)]
    changed = 0
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        pairs = [(row, program) for row in batch for program in wrong_programs(row.problem)]
        verdicts = verify([(row.problem, program) for row, program in pairs])
        catches: dict[int, Counter[int]] = {id(row): Counter() for row in batch}
        run: Counter[int] = Counter()
        for (row, _), verdict in zip(pairs, verdicts, strict=True):
            run[id(row)] += 1
            if not verdict.reward:
                found = _CASE.search(verdict.detail)
                catches[id(row)][int(found[1]) if found else 0] += 1
        changed += sum(_reorder(row, catches[id(row)], run[id(row)]) for row in batch)
        if progress:
            progress("ordering tests", start + len(batch), len(wanted))
    return changed


def _has_cases(problem: Problem) -> bool:
    cases = (problem.tests or {}).get("cases")
    return writes_code(problem.domain) and bool(wrong_programs(problem)) and isinstance(cases, list) and len(cases) > 1


def _reorder(row: CuratedRow, caught: Counter[int], run: int) -> bool:
    problem = row.problem
    tests: dict[str, Any] = dict(problem.tests or {})
    cases = tests["cases"]
    order = sorted(range(len(cases)), key=lambda i: -caught[i])
    labels = {k: v for k, v in problem.labels.items() if k != WRONG_SOLUTIONS}
    if run:
        labels["wrong_programs_caught"] = round(caught.total() / run, 3)
    row.change(tests={**tests, "cases": [cases[i] for i in order]}, labels=labels)
    return order != list(range(len(cases)))


def wrong_programs(problem: Problem) -> list[str]:
    """Return the responses that the source of a problem knows to be wrong."""
    return [each for each in problem.labels.get(WRONG_SOLUTIONS, ()) if isinstance(each, str)]
