"""Equal texts with different answers: at most one is right, and the texts do not say which.

A row that a worked solution, an accepted program or several models confirm is kept where the others have no such
evidence. Else all go out as `conflicting_answers`; or, where the recipe keeps doubtful rows, the best-labelled one
stays and is listed as doubtful. Every listed row names the other one with its answer.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ringlite_cli.data.rows import CuratedRow, Drop
from ringlite_cli.data.text import label_key
from ringlite_cli.data.verification import game_gold
from ringlite_cli.problems import Problem, route

REASON = "conflicting_answers"
EVIDENCE = ("trace", "solution", "models")
_COMPARED = ("math", "science", "logic", "logic-gym")

Agree = Callable[[Sequence[tuple[Problem, Problem]]], list[bool]]
"""Tells of which pairs of problems the answers are equal."""


@dataclass
class Settled:
    """Rows that are out, by their position, and those that stay as doubtful."""

    gone: dict[int, Drop] = field(default_factory=dict)
    doubtful: list[Drop] = field(default_factory=list)


def same_labels(pairs: Sequence[tuple[Problem, Problem]]) -> list[bool]:
    """Compare answers as texts, where no verifier is at hand."""
    return [label_key(one) == label_key(two) for one, two in pairs]


def settle(
    groups: Iterable[list[int]],
    rows: Sequence[CuratedRow],
    best_first: Callable[[Sequence[int]], list[int]],
    agree: Agree,
    keep: bool = False,
) -> Settled:
    """Sort out groups of rows with equal texts and different labels; `best_first` orders a group."""
    ordered = [best_first(group) for group in groups]
    problems = {i: rows[i].problem for group in ordered for i in group}
    pairs = [(group[0], i) for group in ordered for i in group[1:] if _compared(problems[group[0]], problems[i])]
    equal = dict(zip(pairs, agree([(problems[a], problems[b]) for a, b in pairs]), strict=True))
    settled = Settled()
    for group in ordered:
        best = group[0]
        others = [i for i in group[1:] if not equal.get((best, i), True)]
        for i in group[1:]:
            if i not in others:
                settled.gone[i] = Drop(rows[i], "duplicate_exact", _detail(problems, i, best), rows[best], 1.0)
        if others:
            _settle_conflict(best, others, rows, problems, keep, settled)
    return settled


def _settle_conflict(
    best: int, others: list[int], rows: Sequence[CuratedRow], problems: dict[int, Problem], keep: bool, settled: Settled
) -> None:
    for i in others:
        settled.gone[i] = Drop(rows[i], REASON, _detail(problems, i, best), rows[best], 1.0)
    if rows[best].verified in EVIDENCE and not any(rows[i].verified in EVIDENCE for i in others):
        return
    found = Drop(rows[best], REASON, _detail(problems, best, others[0]), rows[others[0]], 1.0)
    if keep:
        settled.doubtful.append(found)
    else:
        settled.gone[best] = found


def _compared(one: Problem, two: Problem) -> bool:
    """Whether both have an answer that a verifier compares; rubrics, arguments and tests may differ without harm."""
    if one.tests or two.tests or not one.answer or not two.answer:
        return False
    if route(one) == route(two) == "logic-gym":
        return game_gold(one) is not None and game_gold(two) is not None
    return all((problem.verifier or problem.domain) in _COMPARED for problem in (one, two))


def _detail(problems: dict[int, Problem], one: int, two: int) -> str:
    first, second = problems[one], problems[two]
    if label_key(first) == label_key(second):
        return ""
    return "the tests differ" if first.tests else f"the answers differ: {first.answer} and {second.answer}"
