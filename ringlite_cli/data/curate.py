"""Curation: sources in, named sets out, with dropped.jsonl, funnel.json and CARD.md beside them.

load -> for eval, then select, then train: drop what stands in a split before it -> cleanse by rules -> verify labels ->
drop duplicates -> and out of all that is left: draw sets. Rows keep the order of the recipe throughout.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ringlite_cli.data import card, funnel
from ringlite_cli.data.cleansing import cleanse, is_benchmark
from ringlite_cli.data.decontaminate import decontaminate
from ringlite_cli.data.duplicates import drop_duplicates
from ringlite_cli.data.rows import Drop, Progress, Row, Sifted
from ringlite_cli.data.sets import draw_sets
from ringlite_cli.data.sources import MAX_UNREADABLE, GeneratorLike, load_sources
from ringlite_cli.data.verification import verify_rows
from ringlite_cli.problems import Problem, Verify, write_problems
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.runs.files import write_json, write_text

PRECEDENCE = ("eval", "select", "train")
"""A problem that stands in two splits stays in the first of these."""


@dataclass(frozen=True)
class CurateResult:
    """What curation left: `sets` maps each name to its parquet file, `files` are all files written."""

    out_dir: Path
    sets: dict[str, Path]
    funnel: dict[str, Any]
    warnings: list[str]
    files: list[Path]


def curate(
    sources: Sequence[Source],
    sets: Mapping[str, ProblemSet],
    verify: Verify,
    out_dir: Path,
    *,
    seed: int,
    generators: Mapping[str, GeneratorLike],
    max_unreadable: float = MAX_UNREADABLE,
    progress: Progress | None = None,
) -> CurateResult:
    """Runs the whole of curation and writes its files into `out_dir`, each of them atomically.

    Raises UserError for a source that is missing, empty or mostly unreadable, and for a set that comes out empty; the
    trail (dropped.jsonl, funnel.json, CARD.md) is on disk by then, to see why.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    loaded = load_sources(sources, seed=seed, generators=generators, max_unreadable=max_unreadable)
    rows = _with_distinct_ids([row for source in loaded for row in source.rows])
    drops = [drop for source in loaded for drop in source.unreadable]
    sifted = _sift(rows, verify, progress)
    trail = _Trail(out_dir, sifted.kept, drops + sifted.drops, sifted.traces_stripped, seed)
    try:
        drawn, warnings = draw_sets(sifted.kept, sets, seed)
    except Exception:
        trail.write({}, [])
        raise
    counts = trail.write(drawn, warnings)
    files = {name: out_dir / f"{name}.parquet" for name in drawn}
    for name, problems in drawn.items():
        write_problems(files[name], problems)
    return CurateResult(out_dir, files, counts, warnings, [*files.values(), *trail.files])


def _sift(rows: list[Row], verify: Verify, progress: Progress | None) -> Sifted:
    """All steps between loading and drawing, a split at a time.

    Leaks are looked for first, so that each is listed as one, whatever else is wrong with the row.
    """
    held: list[Row] = []
    drops: list[Drop] = []
    stripped: list[tuple[Problem, str]] = []
    for split in PRECEDENCE:
        apart = decontaminate([r for r in rows if r.split == split], held)
        clean = cleanse(apart.kept)
        verified = verify_rows(clean.kept, verify, progress)
        benchmarks = [r for r in verified.kept if is_benchmark(r)]
        single = drop_duplicates([r for r in verified.kept if not is_benchmark(r)])
        held += benchmarks + single.kept
        drops += apart.drops + clean.drops + verified.drops + single.drops
        stripped += clean.traces_stripped
    order = {r.problem.id: place for place, r in enumerate(rows)}
    kept = sorted((_labelled(r) for r in held), key=lambda r: order[r.problem.id])
    return Sifted(kept, sorted(drops, key=lambda d: order[d.problem.id]), stripped)


def _labelled(row: Row) -> Row:
    """The row with the label that says how its answer was confirmed."""
    if not row.verified:
        return row
    labels = {**row.problem.labels, "verified_by": row.verified}
    return replace(row, problem=replace(row.problem, labels=labels))


def _with_distinct_ids(rows: list[Row]) -> list[Row]:
    """Every row under an id of its own: its given one, or its source and index where two share one."""
    seen: set[str] = set()
    for row in rows:
        if row.problem.id in seen:
            row.problem = replace(row.problem, id=f"{row.problem.source}:{row.problem.index}")
        seen.add(row.problem.id)
    return rows


@dataclass
class _Trail:
    """dropped.jsonl, funnel.json and CARD.md."""

    out_dir: Path
    kept: list[Row]
    drops: list[Drop]
    stripped: list[tuple[Problem, str]]
    seed: int

    @property
    def files(self) -> list[Path]:
        return [self.out_dir / name for name in ("dropped.jsonl", "funnel.json", "CARD.md")]

    def write(self, drawn: Mapping[str, Sequence[Problem]], warnings: Sequence[str]) -> dict[str, Any]:
        """Writes the three files; returns the funnel."""
        counts = funnel.count(self.kept, self.drops, self.stripped, drawn, warnings)
        dropped, funnel_file, card_file = self.files
        lines = (json.dumps(d.as_row(), ensure_ascii=False) for d in self.drops)
        write_text(dropped, "".join(f"{line}\n" for line in lines))
        write_json(funnel_file, counts)
        write_text(card_file, card.render(counts, self.drops, seed=self.seed))
        return counts
