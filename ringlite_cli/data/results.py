"""What curation leaves: the sets, and beside them what became of every row and why."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.data import card, funnel
from ringlite_cli.data.cleansing import is_benchmark
from ringlite_cli.data.control_tokens import control_warning
from ringlite_cli.data.losses import Losses
from ringlite_cli.data.needs import UNCOMPARED, UNGRADED
from ringlite_cli.data.output import read_origins, write_drops, write_provenance
from ringlite_cli.data.rows import CuratedRow, Progress, Sifted, ticking
from ringlite_cli.data.sets import draw_sets
from ringlite_cli.problems import write_problems
from ringlite_cli.recipe.schema import ProblemSet
from ringlite_cli.runs.files import write_json, write_text


@dataclass(frozen=True)
class CurateResult:
    """What curation left: `sets` maps each name to its parquet file, `files` are all files written."""

    out_dir: Path
    sets: dict[str, Path]
    funnel: dict[str, Any]
    warnings: list[str]
    files: list[Path]


def finish(
    sifted: Sifted,
    sets: Mapping[str, ProblemSet],
    out_dir: Path,
    seed: int,
    warnings: list[str],
    notes: dict[str, Any],
    progress: Progress | None = None,
) -> CurateResult:
    """Draw the sets and write all files."""
    trail = _Trail(out_dir, sifted, seed, notes)
    try:
        drawn, more = draw_sets(
            sifted.kept, sets, seed, trail.counted.add, Losses(sifted.drops, sifted.traces_stripped), progress
        )
    except Exception:
        trail.write({}, warnings)
        raise
    warnings = warnings + more + control_warning(trail.counted.control_tokens)
    if progress:
        progress("writing what was dropped, and the card", 0, len(sifted.drops))
    counts = trail.write(drawn, warnings)
    files = {name: out_dir / f"{name}.parquet" for name in drawn}
    for name, rows in drawn.items():
        problems = (row.problem for row in rows)
        write_problems(files[name], ticking(problems, f"writing the set {name}", progress, len(rows)))
    write_provenance(out_dir / "provenance.parquet", _provenance(drawn, files, progress))
    return CurateResult(out_dir, files, counts, warnings, [*files.values(), *trail.files])


def _provenance(
    drawn: Mapping[str, Sequence[CuratedRow]], files: Mapping[str, Path], progress: Progress | None
) -> Iterator[tuple[Any, ...]]:
    """Yield where every row of every set came from, and what it passed; see `output.PROVENANCE`.

    What stands in the sets is read from their files, where it stands by columns.
    """
    for name, rows in drawn.items():
        origins = zip(rows, read_origins(files[name]), strict=True)
        told = ticking(origins, f"writing where {name} comes from", progress, len(rows))
        for row, (ident, source, index, domain, traced) in told:
            verified = row.verified not in ("", UNGRADED)
            passed = card.passed(domain, traced, is_benchmark(row), verified, row.verified not in UNCOMPARED)
            yield name, ident, source, row.split, row.verified or "nothing", passed, index


@dataclass
class _Trail:
    """dropped.jsonl, doubtful.jsonl, funnel.json, CARD.md, and with the sets provenance.parquet."""

    out_dir: Path
    sifted: Sifted
    seed: int
    notes: dict[str, Any]
    counted: funnel.Kept = field(default_factory=funnel.Kept)

    @property
    def files(self) -> list[Path]:
        names = ("dropped.jsonl", "doubtful.jsonl", "funnel.json", "CARD.md", "provenance.parquet")
        return [self.out_dir / name for name in names]

    def write(self, drawn: Mapping[str, Sequence[CuratedRow]], warnings: Sequence[str]) -> dict[str, Any]:
        """Write all files but the last; return the funnel."""
        drops = self.sifted.drops
        counts = funnel.count(self.counted, drops, self.sifted.traces_stripped, drawn, warnings)
        counts["solutions"] = funnel.solutions(self.sifted.ran)
        counts["doubtful"] = funnel.doubtful(self.sifted.doubtful)
        counts["tests_mended"] = dict(Counter(reason for _, reason in self.sifted.mended))
        counts |= self.notes
        write_drops(self.out_dir / "dropped.jsonl", drops)
        write_drops(self.out_dir / "doubtful.jsonl", self.sifted.doubtful)
        write_json(self.out_dir / "funnel.json", counts)
        write_text(self.out_dir / "CARD.md", card.render(counts, drops, seed=self.seed))
        return counts
