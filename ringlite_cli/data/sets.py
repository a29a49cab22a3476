"""Draws the named sets of a recipe out of the rows that curation left."""

from collections import Counter
from collections.abc import Mapping, Sequence

from ringlite_cli.data.rows import Row
from ringlite_cli.data.text import stable_hash
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.schema import Domain, ProblemSet


def draw_sets(
    rows: Sequence[Row], sets: Mapping[str, ProblemSet], seed: int
) -> tuple[dict[str, list[Problem]], list[str]]:
    """(set -> its problems in a shuffled order, warnings), the same for the same rows and seed.

    A set that asks for more rows of a domain than there are gets what there is, and a warning. Raises UserError for a
    set that comes out empty and for one that is disjoint from a set that stands after it or nowhere.
    """
    drawn: dict[str, list[Problem]] = {}
    warnings: list[str] = []
    for name, wanted in sets.items():
        unknown = [other for other in wanted.disjoint_from if other not in drawn]
        if unknown:
            hint = f"sets drawn before it: {', '.join(drawn) or 'none'}"
            raise UserError(f"disjoint_from names {unknown[0]!r}", where=f"sets.{name}", hint=hint)
        pool = _pool(rows, wanted, {p.id for other in wanted.disjoint_from for p in drawn[other]})
        pool.sort(key=lambda p: stable_hash(f"{seed}/{name}/{p.id}"))
        drawn[name] = pool if wanted.rows is None else _take(pool, wanted.rows, name, warnings)
        if not drawn[name]:
            raise UserError(f"the set {name!r} is empty", where=f"sets.{name}", hint=_why_empty(rows, wanted))
    return drawn, warnings


def mix_counts(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Rows per domain that add up to `total` in proportion to the shares (largest remainder)."""
    whole = sum(shares.values())
    exact = {d: total * share / whole for d, share in shares.items()}
    counts = {d: int(x) for d, x in exact.items()}
    for domain in sorted(exact, key=lambda d: (counts[d] - exact[d], d))[: total - sum(counts.values())]:
        counts[domain] += 1
    return counts


def _pool(rows: Sequence[Row], wanted: ProblemSet, taken: set[str]) -> list[Problem]:
    return [
        r.problem
        for r in rows
        if r.split == wanted.split and (r.problem.trace or not wanted.traces) and r.problem.id not in taken
    ]


def _take(pool: Sequence[Problem], rows: Mapping[Domain, int], name: str, warnings: list[str]) -> list[Problem]:
    left: Counter[str] = Counter(rows)
    chosen = []
    for problem in pool:
        if left[problem.domain] > 0:
            left[problem.domain] -= 1
            chosen.append(problem)
    for domain, asked in rows.items():
        if left[domain] > 0:
            warnings.append(f"set {name}: {asked - left[domain]} of the {asked} {domain} rows asked for")
    return chosen


def _why_empty(rows: Sequence[Row], wanted: ProblemSet) -> str:
    here = [r for r in rows if r.split == wanted.split]
    counts = Counter(r.problem.domain for r in here)
    traced = sum(r.problem.trace is not None for r in here)
    listed = ", ".join(f"{n} {d}" for d, n in sorted(counts.items())) or "no rows"
    return f"curation left {listed} in split {wanted.split!r}, {traced} with a trace; see dropped.jsonl and funnel.json"
