"""Scores on held-out problems: every policy and task with its interval, and the change from stage to stage."""

from ringlite_cli.report.blocks import Cell, Column, Section, Table
from ringlite_cli.report.figures import Figure, Whisker, whiskers
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections.common import opening
from ringlite_cli.report.sections.published import published
from ringlite_cli.report.sections.score import Score, scores_in
from ringlite_cli.report.sections.verdicts import of_scores
from ringlite_cli.report.words import count, fixed, joined, percent, percent_interval, points

CAVEAT = (
    "Intervals are 95 % for each score by itself. Apart: the two intervals do not touch. Overlapping: they do, which "
    "does not show that the two are equal. Changes are against the policy in the row above, in percentage points."
)


def section(run: Run, pens: Pens) -> Section:
    page = Section("scores", "Scores on held-out problems", short="Scores")
    stages = run.of("eval")
    if not stages:
        page.say("No eval stage in this run: no scores on held-out problems yet.", "missing")
    for stage in stages:
        page.blocks += opening(stage, stages)
        scores = scores_in(stage)
        if not scores:
            page.say(f"{stage.name}/scores.json is missing or has no scores yet.", "missing")
            continue
        for words in changes(scores):
            page.say(words, "lead")
        page.figures(*_figures(scores, pens), small=True)
        page.blocks.append(_table(stage, scores, pens))
        for words in _notes(scores):
            page.say(words, "warn")
        page.blocks += published(stage, scores)
        if verdicts := of_scores(stage, pens):
            page.blocks.append(verdicts)
    return page


def _notes(scores: list[Score]) -> list[str]:
    """Return one sentence per kind of note; notes that differ only in their leading percentage share a sentence."""
    kinds: dict[str, list[str]] = {}
    for score in scores:
        for note in score.notes:
            share, _, rest = note.partition(" ") if note.partition(" ")[0].endswith("%") else ("", "", note)
            kinds.setdefault(rest, []).append(f"{score.policy} on {score.task}" + f": {share}".removesuffix(" "))
    return [f"{joined(where)} {rest}." for rest, where in kinds.items()]


def changes(scores: list[Score]) -> list[str]:
    """One sentence per step from a policy to the next: what moved with intervals apart, and what overlaps."""
    found = []
    for policy, previous in dict.fromkeys((s.policy, s.before.policy) for s in scores if s.before):
        mine = [s for s in scores if s.policy == policy and s.before and s.before.policy == previous]
        moved = [f"{s.task} {points(s.change)}" for s in mine if s.apart]
        rest = [f"{s.task} {points(s.change)}" for s in mine if s.apart is False]
        bare = [f"{s.task} {points(s.change)}" for s in mine if s.apart is None]
        parts = [joined(moved) + " (intervals apart)"] if moved else []
        parts += [joined(rest) + " (overlapping)"] if rest else []
        parts += [joined(bare) + " (no intervals)"] if bare else []
        found.append(f"From {previous} to {policy}, in points: " + "; ".join(parts) + ".")
    return found


def _figures(scores: list[Score], pens: Pens) -> list[Figure | None]:
    """A panel per task, all on the same axis, which ends at a round share above the highest whisker."""
    highest = max(max(s.avg, s.ends[1] if s.ends else 0.0) for s in scores)
    top = next((t for t in (0.1, 0.2, 0.4, 0.6, 0.8) if highest <= t), max(1.0, highest))
    figures = []
    for task in dict.fromkeys(s.task for s in scores):
        rows = [_whisker(s, pens) for s in scores if s.task == task]
        first = next(s for s in scores if s.task == task)
        k = count(first.k) if first.k else "k"
        figures.append(whiskers(pens.sheet, f"{task}: avg@{k}, 95 % intervals", rows, top))
    return figures


def _whisker(score: Score, pens: Pens) -> Whisker:
    style, shape = pens.palette.policy(score.policy)
    return Whisker(score.policy, style, shape, score.avg, score.ends)


def _table(stage: Stage, scores: list[Score], pens: Pens) -> Table:
    labels = ["task", "policy", "avg@k", "95 % interval", "change", "intervals", "pass@k", "maj@k", "problems", "k"]
    labels += ["tokens per response", "truncated"]
    columns = [Column(name, numeric=name not in ("task", "policy", "intervals")) for name in labels]
    rows = [_row(score, pens) for score in scores]
    return Table(f"Scores of {stage.name}: policies by task", columns, rows, CAVEAT)


def _row(s: Score, pens: Pens) -> list[Cell]:
    tone = ("good" if (s.change or 0) > 0 else "bad") if s.apart else "quiet"
    return [
        Cell(s.task, tone=f"key {pens.palette.domain(s.task)}"),
        Cell(s.policy, tone=f"key {pens.palette.policy(s.policy)[0]}"),
        Cell(percent(s.avg), s.avg, "strong"),
        Cell(percent_interval(s.ends), s.ends and s.ends[0]),
        Cell(points(s.change), s.change, tone if s.apart else ""),
        Cell({True: "apart", False: "overlapping", None: ""}[s.apart], tone=tone),
        Cell(percent(s.passed), s.passed),
        Cell(percent(s.majority), s.majority),
        Cell(count(s.n), s.n),
        Cell(count(s.k), s.k),
        Cell(fixed(s.length, 1), s.length),
        Cell(percent(s.truncated), s.truncated),
    ]
