"""Orders the test cases of code problems by what they catch: first those that most wrong programs fail.

Wrong programs are those that the source knows to be wrong, and mutants: the accepted solution with one small fault put
in (a comparison turned, a number off by one, an operator swapped). A problem whose tests catch none of its mutants is
told apart in its labels: `mutants_caught` is the share of wrong programs that fail.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ringlite_cli.data.rows import Progress, Row
from ringlite_cli.domains import writes_code
from ringlite_cli.problems import Problem, Verify

WRONG_SOLUTIONS = "wrong_solutions"
"""The label under which code problems bring programs that are known to be wrong."""

_CASE = re.compile(r"\bcase (\d+)\b")
_BLOCK = re.compile(r"```[^\n]*\n(.*?)```", re.S)
_BATCH = 64
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}


def order_tests(rows: Sequence[Row], verify: Verify, mutants: int, progress: Progress | None = None) -> int:
    """Reorders the cases of the train rows that have several; returns how many rows changed."""
    wanted = [r for r in rows if r.split == "train" and _has_cases(r.problem)]
    changed = 0
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        pairs = [(row, program) for row in batch for program in wrong_programs(row.problem, mutants)]
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
    return writes_code(problem.domain) and bool(problem.trace) and isinstance(cases, list) and len(cases) > 1


def _reorder(row: Row, caught: Counter[int], run: int) -> bool:
    problem = row.problem
    tests: dict[str, Any] = dict(problem.tests or {})
    cases = tests["cases"]
    order = sorted(range(len(cases)), key=lambda i: -caught[i])
    labels = {k: v for k, v in problem.labels.items() if k != WRONG_SOLUTIONS}
    if run:
        labels["mutants_caught"] = round(caught.total() / run, 3)
    row.change(tests={**tests, "cases": [cases[i] for i in order]}, labels=labels)
    return order != list(range(len(cases)))


def wrong_programs(problem: Problem, mutants: int) -> list[str]:
    """Responses that are wrong, or most probably so: the source's own, then mutants of the accepted solution."""
    known = [w for w in problem.labels.get(WRONG_SOLUTIONS, ()) if isinstance(w, str)]
    block = _BLOCK.search(problem.trace or "")
    made = list(mutate(block[1], mutants)) if block else []
    return known + [f"```python\n{program}\n```" for program in made]


def mutate(program: str, most: int) -> Iterator[str]:
    """Copies of a program with one fault each, spread over its places; none where it does not parse."""
    try:
        places = [p for p in range(sum(1 for _ in ast.walk(ast.parse(program)))) if _faulty(program, p) is not None]
    except (SyntaxError, ValueError, RecursionError):
        return
    step = max(len(places) / most, 1)
    for number in range(min(most, len(places))):
        fault = _faulty(program, places[int(number * step)])
        if fault is not None:
            yield fault


def _faulty(program: str, place: int) -> str | None:
    """The program with a fault at the place-th node of its tree; None where that node can't be turned."""
    tree = ast.parse(program)
    node = next(n for i, n in enumerate(ast.walk(tree)) if i == place)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        node.ops[0] = _COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        node.op = _OPERATORS[type(node.op)]()
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        node.value += 1
    else:
        return None
    return ast.unparse(tree)
