"""Counts rows in, dropped by reason, and out, per source and domain, so that they always add up."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ringlite_cli.data.rows import Drop, Row
from ringlite_cli.problems import Problem


def count(
    rows: Sequence[Row],
    drops: Sequence[Drop],
    stripped: Sequence[tuple[Problem, str]],
    sets: Mapping[str, Sequence[Problem]],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The contents of funnel.json; `rows` are those that came through."""
    kept = [r.problem for r in rows]
    return {
        **_counts(kept, drops),
        "by_source": _split(kept, drops, "source"),
        "by_domain": _split(kept, drops, "domain"),
        "sets": {n: {"rows": len(ps), "by_domain": _tally(p.domain for p in ps)} for n, ps in sets.items()},
        "traces_stripped": _tally(reason for _, reason in stripped),
        "verified_by": _tally(r.verified or "nothing" for r in rows),
        "warnings": list(warnings),
    }


def _counts(kept: Sequence[Problem], drops: Sequence[Drop]) -> dict[str, Any]:
    reasons = _tally(d.reason for d in drops)
    return {"rows_in": len(kept) + len(drops), "dropped": reasons, "out": len(kept)}


def _split(kept: Sequence[Problem], drops: Sequence[Drop], field: str) -> dict[str, Any]:
    """The same counts for each value of a problem's field, in the order of their first row."""
    kept_by: dict[str, list[Problem]] = defaultdict(list)
    drops_by: dict[str, list[Drop]] = defaultdict(list)
    for problem in kept:
        kept_by[getattr(problem, field)].append(problem)
    for drop in drops:
        drops_by[getattr(drop.problem, field)].append(drop)
    return {name: _counts(kept_by[name], drops_by[name]) for name in dict.fromkeys([*kept_by, *drops_by])}


def _tally(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))
