"""What curation makes of a file: its first rows as read, the rows that stay, and those that are left out and why."""

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.data.guessing import Reading
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verify, read_problems, route
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.samples import SEED

MOST = 2000
"""Rows that are curated to learn of a file, where nothing else is asked for."""


@dataclass
class Curated:
    """What curation left of a file.

    sets: by name. reasons: why rows are out -> how many. examples: (reason, row, detail) of the first of each.
    stripped: why rows lost their trace -> how many. read: rows. whole: whether they are all of the file's.
    """

    sets: dict[str, list[Problem]]
    read: int
    whole: bool
    reasons: dict[str, int] = field(default_factory=dict)
    examples: list[tuple[str, int, str]] = field(default_factory=list)
    stripped: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def kept(self) -> list[Problem]:
        """The problems of all sets, each once, in the order of the file."""
        found = {problem.id: problem for rows in self.sets.values() for problem in rows}
        return sorted(found.values(), key=lambda problem: problem.index)


def curate_file(
    reading: Reading,
    verify: Verify,
    *,
    split: str | Mapping[str, float] = "train",
    sets: Mapping[str, ProblemSet] | None = None,
    suffix: Mapping[str, str] | None = None,
    most: int = MOST,
    seed: int = SEED,
    extra: Sequence[Source] = (),
) -> Curated:
    """Curate a file as a recipe's curate stage would, in a folder that goes away.

    sets: default: `scored`, rows with something to verify a response by, and `traces`. most: rows that are read.
    extra: further sources. Raises UserError where too much can't be read.
    """
    from ringlite_cli.data.curate import Steps, curate
    from ringlite_cli.data.generators import GENERATORS
    from ringlite_cli.rewards.golds import gold_fault

    wanted = dict(sets or {"scored": ProblemSet(), "traces": ProblemSet(traces=True)})
    steps = Steps(doubts=gold_fault, workers=1, prompt_suffix=suffix or {}, require_solution=False)
    sources = [reading.source(split, most), *extra]
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        empty = _curate_all(lambda sets: curate(
            sources, sets, verify, out, seed=seed, generators=GENERATORS, steps=steps,
        ), wanted)  # fmt: skip
        funnel = json.loads((out / "funnel.json").read_text(encoding="utf-8"))
        drops = [json.loads(line) for line in (out / "dropped.jsonl").read_text(encoding="utf-8").splitlines()]
        made = {each: read_problems(out / f"{each}.parquet") for each in wanted if each not in empty}
    return Curated(
        sets={each: made.get(each, []) for each in wanted},
        read=funnel["rows_in"],
        whole=funnel["rows_in"] < most,
        reasons=funnel["dropped"],
        examples=_examples(drops),
        stripped=funnel["traces_stripped"],
        warnings=funnel["warnings"],
    )


def _curate_all(curate: Any, wanted: Mapping[str, ProblemSet]) -> set[str]:
    """Curate, leaving out sets that come out empty; return their names."""
    empty: set[str] = set()
    while len(empty) < len(wanted):
        left = {name: each for name, each in wanted.items() if name not in empty}
        left = {
            n: e.model_copy(update={"disjoint_from": [o for o in e.disjoint_from if o in left]})
            for n, e in left.items()
        }
        try:
            curate(left)
        except UserError as error:
            name = error.where.removeprefix("sets.")
            if name not in left:
                raise
            empty.add(name)
        else:
            return empty
    return empty


def _examples(drops: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str]]:
    seen: Counter[str] = Counter()
    found = []
    for drop in drops:
        seen[drop["reason"]] += 1
        if seen[drop["reason"]] == 1:
            found.append((drop["reason"], drop["index"], str(drop.get("detail") or "")))
    return found


def ungraded(problems: Sequence[Problem]) -> int:
    """Return how many problems no verifier can score a response to."""
    from ringlite_cli.data.needs import lacks

    return sum(lacks(problem) is not None for problem in problems)


def routes(problems: Sequence[Problem]) -> dict[str, int]:
    """Return verifier -> problems, the most frequent first."""
    return dict(Counter(map(route, problems)).most_common())
