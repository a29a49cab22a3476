"""What a reader takes in first: the scores of every policy by task, and what is wrong with the run."""

from collections.abc import Sequence
from dataclasses import dataclass

from ringlite_cli.report.findings import Finding, examine
from ringlite_cli.report.load import Run
from ringlite_cli.report.palette import Palette
from ringlite_cli.report.sections.score import Score, scores_in
from ringlite_cli.report.words import count, joined, percent, percent_interval, points

LINES_SHOWN = 6
"""More than a reader takes in at a glance is folded; red ones come first."""


@dataclass(frozen=True, slots=True)
class Square:
    """A cell of the matrix. change: in points against the policy above, "" for none. tone: good or bad only where the
    two intervals do not touch."""

    score: str
    interval: str = ""
    change: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Policies by tasks. tasks and policies: (name, colour class); rows: a square per task, None without a score."""

    tasks: list[tuple[str, str]]
    policies: list[tuple[str, str]]
    rows: list[list[Square | None]]
    note: str


@dataclass(frozen=True, slots=True)
class Line:
    """Findings of one rule with one cure, stage by stage: (stages, section that shows it, what was seen)."""

    level: str
    parts: list[tuple[str, str, str]]
    cure: str


@dataclass(frozen=True, slots=True)
class Headline:
    """looked, blind: rules that had numbers to look at, and those that had none. shown: lines before the fold."""

    matrix: Matrix | None
    lines: list[Line]
    looked: str
    blind: str
    shown: int = LINES_SHOWN


def headline(run: Run, palette: Palette) -> Headline:
    """Return the top of a run's page."""
    examined = examine(run)
    lines = as_lines(examined.findings)
    return Headline(_matrix(run, palette), lines, joined(examined.looked), joined(examined.blind))


def as_lines(findings: Sequence[Finding]) -> list[Line]:
    """Return the findings as lines, in their order: what one rule saw in several stages stands on one."""
    together: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        together.setdefault((finding.level, finding.rule, finding.cure), []).append(finding)
    lines = []
    for (level, _, cure), same in together.items():
        stages: dict[tuple[str, str], list[str]] = {}
        for finding in same:
            stages.setdefault((finding.place, finding.words), []).append(finding.stage)
        lines.append(Line(level, [(joined(names), *seen) for seen, names in stages.items()], cure))
    return lines


def _matrix(run: Run, palette: Palette) -> Matrix | None:
    """The scores of all eval stages; a task that two stages have stands once for each, with the stage's name."""
    by_stage = [(stage.name, scores) for stage in run.of("eval") if (scores := scores_in(stage))]
    if not by_stage:
        return None
    several = len(by_stage) > 1
    columns: dict[tuple[str, str], dict[str, Score]] = {}
    for stage, scores in by_stage:
        for score in scores:
            columns.setdefault((stage, score.task), {})[score.policy] = score
    policies = list(dict.fromkeys(score.policy for _, scores in by_stage for score in scores))
    tasks = [(f"{stage}: {task}" if several else task, palette.domain(task)) for stage, task in columns]
    rows = [[_square(column.get(policy)) for column in columns.values()] for policy in policies]
    if len(columns) > 1:
        tasks.append(("mean", ""))
        for row, mean in zip(rows, _means(policies, list(columns.values())), strict=True):
            row.append(mean)
    note = _note([score for _, scores in by_stage for score in scores])
    return Matrix(tasks, [(name, palette.policy(name)[0]) for name in policies], rows, note)


def _note(scores: Sequence[Score]) -> str:
    """How the matrix is read: what was measured, by how many responses on how many problems."""
    n, k = (sorted({found for each in scores if (found := getattr(each, name))}) for name in ("n", "k"))
    note = f"avg@{count(k[0]) if len(k) == 1 else 'k'} in percent, 95 % intervals"
    note += f", {count(n[0])}" + (f" to {count(n[-1])}" if len(n) > 1 else "") + " problems a task" if n else ""
    note += f", {count(k[0])} to {count(k[-1])} responses a problem (k)" if len(k) > 1 else ""
    return note + ". Changes are in points against the policy above; coloured where the intervals do not touch."


def _square(score: Score | None) -> Square | None:
    if score is None:
        return None
    tone = ("good" if (score.change or 0) > 0 else "bad") if score.apart else ""
    change = points(score.change) if score.before else ""
    return Square(percent(score.avg), percent_interval(score.ends) if score.ends else "", change, tone)


def _means(policies: Sequence[str], columns: Sequence[dict[str, Score]]) -> list[Square | None]:
    """The mean over the tasks of each policy that has them all, without an interval: tasks are no sample."""
    found: list[Square | None] = []
    before: float | None = None
    for policy in policies:
        scores = [column[policy].avg for column in columns if policy in column]
        if len(scores) < len(columns):
            found.append(None)
            continue
        mean = sum(scores) / len(scores)
        found.append(Square(percent(mean), "", points(mean - before) if before is not None else "", ""))
        before = mean
    return found
