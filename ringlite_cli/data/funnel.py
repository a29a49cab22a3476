"""Counts rows in, dropped by reason, and out, per source and domain, so that they always add up."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ringlite_cli.data.control_tokens import control_tokens
from ringlite_cli.data.rows import CuratedRow, Drop
from ringlite_cli.problems import Problem
from ringlite_cli.where import values_of

Tally = Counter[str]


class Kept:
    """Tallies of the rows that came through, to which each is added once."""

    def __init__(self) -> None:
        self.by_place: Counter[tuple[str, str]] = Counter()
        self.verified: Tally = Counter()
        self.domains: dict[int, str] = {}
        self.labels: dict[str, Counter[str]] = {}
        self.rates: dict[str, dict[str, tuple[int, float]]] = {}
        self.makers: dict[str, Counter[str]] = {}
        self.control_tokens: Tally = Counter()

    def add(self, row: CuratedRow, problem: Problem) -> None:
        self.by_place[problem.source, problem.domain] += 1
        self.verified[row.verified or "nothing"] += 1
        self.domains[id(row)] = sys.intern(problem.domain)
        self.control_tokens.update(control_tokens(problem))
        for name in _TABLES:
            if name in problem.labels:
                self.labels.setdefault(name, Counter())[bucket(name, problem.labels[name])] += 1
        self._rate(problem)
        for name, maker in problem.labels.get("labelled_by", {}).items():
            self.makers.setdefault(name, Counter())[maker] += 1

    def _rate(self, problem: Problem) -> None:
        """Add the pass rate of a problem to those of its labels' values."""
        rate = problem.labels.get("pass_rate")
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            return
        for name in _RATED:
            for value in values_of(problem, name)[:1]:
                values = self.rates.setdefault(name, {})
                rows, total = values.get(str(value), (0, 0.0))
                values[str(value)] = rows + 1, total + rate


def count(
    rows: Kept,
    drops: Sequence[Drop],
    stripped: Sequence[tuple[CuratedRow, str]],
    sets: Mapping[str, Sequence[CuratedRow]],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The contents of funnel.json; `rows` are those that came through."""
    kept, domains = rows.by_place, rows.domains
    gone = Counter((d.source, d.domain, d.reason) for d in drops)
    return {
        **_counts(kept, gone, lambda source, domain: True),
        "by_source": _split(kept, gone, 0),
        "by_domain": _split(kept, gone, 1),
        "sets": {n: {"rows": len(rs), "by_domain": _tally(domains[id(r)] for r in rs)} for n, rs in sets.items()},
        "traces_stripped": _tally(reason for _, reason in stripped),
        "verified_by": _sorted(rows.verified),
        "control_tokens": _sorted(rows.control_tokens),
        "labels": {name: _sorted(counts) for name, counts in rows.labels.items()},
        "labelled_by": {name: _sorted(counts) for name, counts in rows.makers.items()},
        "pass_rates_by_label": _means(rows.rates),
        "examples": _examples(drops),
        "warnings": list(warnings),
    }


EXAMPLES = 3
_TEXT = 300  # characters of an example's text


def _examples(drops: Sequence[Drop]) -> dict[str, list[dict[str, Any]]]:
    """The first few dropped rows of each reason, as in dropped.jsonl, long texts cut."""
    found: dict[str, list[dict[str, Any]]] = {}
    for drop in drops:
        here = found.setdefault(drop.reason, [])
        if len(here) < EXAMPLES:
            here.append({k: v[:_TEXT] if isinstance(v, str) else v for k, v in drop.as_row().items()})
    return found


def solutions(ran: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Return for each source how the accepted solutions that were run did; rows that a rule dropped are included."""
    found: dict[str, dict[str, Any]] = {}
    for (source, outcome), n in sorted(ran.items()):
        told = found.setdefault(source, {"passed": 0, "failed": {}})
        if outcome == "passed":
            told["passed"] = n
        else:
            told["failed"][outcome] = n
    return found


def doubtful(rows: Sequence[Drop]) -> dict[str, dict[str, int]]:
    """Return for each source the rows that stay although something speaks against their answer, by reason."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row.source, Counter())[row.reason] += 1
    return {source: _sorted(reasons) for source, reasons in counts.items()}


_TABLES = ("subject_class", "topic", "education", "difficulty", "pass_rate", "length", "trace_by")


_RATED = ("domain", "source", "subject", "level", "education")


def _means(rates: Mapping[str, Mapping[str, tuple[int, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """{label: {value: rows and their mean pass rate}}, the hardest value first; of labels with several values."""
    return {
        name: {
            value: {"rows": rows, "pass_rate": round(total / rows, 4)}
            for value, (rows, total) in sorted(values.items(), key=lambda item: (item[1][1] / item[1][0], item[0]))
        }
        for name, values in rates.items()
        if len(values) > 1
    }


def bucket(name: str, value: Any) -> str:
    """A label's value as a table's row; pass rates go by tenths, none and all apart."""
    if name == "pass_rate" and 0 < value < 1:
        low = int(value * 10 + 1e-9) / 10
        return f"{low:.1f} to {low + 0.1:.1f}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _counts(kept: Counter[tuple[str, str]], gone: Counter[tuple[str, str, str]], mine: Any) -> dict[str, Any]:
    reasons: Tally = Counter()
    for (source, domain, reason), n in gone.items():
        if mine(source, domain):
            reasons[reason] += n
    out = sum(n for key, n in kept.items() if mine(*key))
    return {"rows_in": out + reasons.total(), "dropped": _sorted(reasons), "out": out}


def _split(kept: Counter[tuple[str, str]], gone: Counter[tuple[str, str, str]], place: int) -> dict[str, Any]:
    """The same counts for each source (place 0) or domain (1), in the order of their first row."""
    names = dict.fromkeys([*(key[place] for key in kept), *(key[place] for key in gone)])
    return {name: _counts(kept, gone, lambda *key, name=name: key[place] == name) for name in names}


def _tally(names: Iterable[str]) -> dict[str, int]:
    return _sorted(Counter(names))


def _sorted(counts: Tally) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
