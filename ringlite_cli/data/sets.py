"""Draws the named sets of a recipe out of the rows that curation left."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ringlite_cli.data.losses import Losses
from ringlite_cli.data.needs import is_for_sft_alone
from ringlite_cli.data.rows import CuratedRow, Progress, ticking
from ringlite_cli.data.text import stable_hash
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.schema import ProblemSet
from ringlite_cli.where import labels_there, matches, part_of

PAPER_MIX = {"math": 0.645, "code": 0.255, "science": 0.092, "general": 0.008}
"""Shares of the paper's long-CoT data (§2)."""
_SHOWN = 2000  # rows whose labels a message names


def draw_sets(
    rows: Sequence[CuratedRow],
    sets: Mapping[str, ProblemSet],
    seed: int,
    seen: Callable[[CuratedRow, Problem], None] | None = None,
    losses: Losses | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, list[CuratedRow]], list[str]]:
    """(set -> its rows in a shuffled order, warnings), the same for the same rows and seed.

    seen: shown each row once, before anything is drawn. losses: what curation dropped, to say why a set is empty.
    Rows that nothing can score go to sets with traces alone.
    A set that asks for more rows of a domain than there are gets what there is, and a warning. Raises UserError for a
    set that comes out empty and for one that is disjoint from a set that stands after it or nowhere.
    """
    facts = _Facts(rows, seen, progress)
    drawn: dict[str, list[CuratedRow]] = {}
    warnings: list[str] = []
    for name, wanted in sets.items():
        unknown = [other for other in wanted.disjoint_from if other not in drawn]
        if unknown:
            hint = f"sets drawn before it: {', '.join(drawn) or 'none'}"
            raise UserError(f"disjoint_from names {unknown[0]!r}", where=f"sets.{name}", hint=hint)
        taken = {id(r) for other in wanted.disjoint_from for r in drawn[other]}
        pool = [i for i in facts.pool(wanted) if id(rows[i]) not in taken]
        if wanted.where:
            pool = [i for i in pool if matches(rows[i].problem, wanted.where)]
        names = _parts(pool, wanted, rows, facts)
        pool.sort(key=lambda i: stable_hash(f"{seed}/{name}/{facts.ids[i]}"))
        asked = _asked(pool, wanted, names, name, warnings)
        chosen = pool if asked is None else _take(pool, asked, names, name, warnings)
        if not chosen:
            raise UserError(f"the set {name!r} is empty", where=f"sets.{name}", hint=facts.why_empty(wanted, losses))
        drawn[name] = [rows[i] for i in chosen]
    return drawn, warnings


class _Facts:
    """What drawing needs of each row, read once."""

    def __init__(
        self,
        rows: Sequence[CuratedRow],
        seen: Callable[[CuratedRow, Problem], None] | None,
        progress: Progress | None = None,
    ) -> None:
        self.rows = rows
        self.splits = [r.split for r in rows]
        self.ids, self.domains, self.traced, self.scored = [], [], [], []
        known: dict[str, str] = {}
        for row in ticking(rows, "drawing the sets", progress, len(rows)):
            problem = row.problem
            self.ids.append(problem.id)
            self.domains.append(known.setdefault(problem.domain, problem.domain))
            self.traced.append(problem.trace is not None)
            self.scored.append(not is_for_sft_alone(problem))
            if seen:
                seen(row, problem)

    def pool(self, wanted: ProblemSet) -> list[int]:
        fit = self.traced if wanted.traces else self.scored
        return [i for i, split in enumerate(self.splits) if split == wanted.split and fit[i]]

    def why_empty(self, wanted: ProblemSet, losses: Losses | None) -> str:
        here = [i for i, split in enumerate(self.splits) if split == wanted.split]
        counts = Counter(self.domains[i] for i in here)
        traced = sum(self.traced[i] for i in here)
        listed = ", ".join(f"{n} {d}" for d, n in sorted(counts.items())) or "no rows"
        where = f"in split {wanted.split!r}, {traced} with a trace"
        alone = sum(not self.scored[i] for i in here) if not wanted.traces else 0
        told = [f"curation left {listed} {where}"]
        if alone:
            told.append(f"{alone} of them have nothing to score a response by and are for SFT alone (traces: true)")
        told += losses.told(wanted.split, traces=wanted.traces) if losses else []
        if wanted.where and here:
            told.append(f"`where` fits none of them ({labels_there([self.rows[i].problem for i in here[:_SHOWN]])})")
        return "; ".join([*told, "see dropped.jsonl and funnel.json"])


def mix_counts(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Rows per domain that add up to `total` in proportion to the shares (largest remainder)."""
    whole = sum(shares.values())
    exact = {d: total * share / whole for d, share in shares.items()}
    counts = {d: int(x) for d, x in exact.items()}
    for domain in sorted(exact, key=lambda d: (counts[d] - exact[d], d))[: total - sum(counts.values())]:
        counts[domain] += 1
    return counts


def _parts(pool: Sequence[int], wanted: ProblemSet, rows: Sequence[CuratedRow], facts: _Facts) -> dict[int, str | None]:
    """Row -> the part of the set's rows or mix that it belongs to: its domain, or a label's value."""
    names = list(wanted.rows or wanted.mix or ())
    if not any("=" in name for name in names):
        return {i: facts.domains[i] for i in pool}
    return {i: part_of(rows[i].problem, names) for i in pool}


def _asked(
    pool: Sequence[int], wanted: ProblemSet, names: Mapping[int, str | None], name: str, warnings: list[str]
) -> dict[str, int] | None:
    """Rows per part that the set asks for; None for all. A mix without a total takes as many as its shares allow."""
    if wanted.mix is None:
        return dict(wanted.rows) if wanted.rows is not None else None
    there = Counter(names[i] for i in pool)
    whole = sum(wanted.mix.values())
    most = min((int(there[d] * whole / share) for d, share in wanted.mix.items()), default=0)
    total = min(wanted.total or most, most)
    if wanted.total and total < wanted.total:
        short = min(wanted.mix, key=lambda d: there[d] / wanted.mix[d] if wanted.mix else 0)
        warnings.append(
            f"set {name}: {total} of the {wanted.total} rows asked for, for the mix: there are {there[short]} {short}"
        )
    return mix_counts(total, wanted.mix)


def _take(
    pool: Sequence[int], asked: Mapping[str, int], names: Mapping[int, str | None], name: str, warnings: list[str]
) -> list[int]:
    left: Counter[str | None] = Counter(asked)
    chosen = []
    for i in pool:
        if left[names[i]] > 0:
            left[names[i]] -= 1
            chosen.append(i)
    for domain, number in asked.items():
        if left[domain] > 0:
            warnings.append(f"set {name}: {number - left[domain]} of the {number} {domain} rows asked for")
    return chosen
