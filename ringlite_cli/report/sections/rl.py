"""C3PO: one timeline over all RL stages, and where each began and ended."""

from ringlite_cli.report.blocks import Cell, Column, Heading, Section, Table
from ringlite_cli.report.figures.thin import smoothing_window
from ringlite_cli.report.load import Run, Stage, ends
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections import guard
from ringlite_cli.report.sections.common import standing
from ringlite_cli.report.sections.timeline import Timeline, figures, timeline
from ringlite_cli.report.words import count, decimal, duration, joined, percent, short
from ringlite_cli.runs.catalogue import of_stage
from ringlite_cli.runs.catalogue.tenths import mean_of, tenths


def section(run: Run, pens: Pens) -> Section:
    page = Section("rl", "Reinforcement learning with C3PO", short="RL")
    stages = run.of("rl")
    if not stages:
        page.say("No RL stage in this run.", "missing")
    if on := timeline(run, pens):
        page.say(_reading(on), "note")
        learning, health = figures(run, on, pens)
        page.figures(*learning)
        page.blocks.append(Heading("Health and time"))
        page.figures(*health)
    for stage in stages:
        page.blocks.append(Heading(stage.name))
        page.blocks += standing(stage)
        if not stage.metrics:
            page.say(f"{stage.name}/metrics.jsonl is missing or has no rows yet.", "missing")
            continue
        page.say(sentence(stage), "lead")
        page.blocks.append(_table(stage))
        page.blocks += guard.blocks(stage, pens)
    return page


def _reading(on: Timeline) -> str:
    """How the figures are read: the axis, and what is thin and what is thick."""
    words = ""
    if len(on) > 1:
        where = joined([f"{part.name} from {part.offset + 1}" for _, part in on])
        words = f"One axis over all RL stages: {where}. "
    windows = {window for stage, _ in on if (window := smoothing_window(len(stage.metrics))) > 1}
    if windows:
        over = joined([f"{window}" for window in sorted(windows)])
        words += f"Thin: every step. Thick: moving mean over {over} steps of a stage (median on a log scale). "
    return words + "A pointer over a curve reads the step's own values."


def sentence(stage: Stage) -> str:
    """Steps, tokens, and the reward at both ends, each as the mean over a tenth of the steps."""
    begin, end = ends(stage.values("reward"))
    words = f"{count(len(stage.metrics))} steps"
    if stage.seconds:
        words += f" in {duration(stage.seconds)}"
    if trained := stage.total("tokens_trained"):
        words += f", {short(trained)} tokens trained"
    if begin is not None and end is not None:
        words += f"; mean reward {decimal(begin)} over the first tenth of the steps, {decimal(end)} over the last"
    return words + "."


def _table(stage: Stage) -> Table:
    columns = [
        Column("metric", False),
        Column("unit", False),
        *map(Column, ("first tenth", "last tenth", "lowest", "highest")),
    ]
    rows = []
    parts = tenths(stage.metrics)
    for metric in (m for m in of_stage("rl", stage.folder) if m.table):
        values = stage.values(metric.key)
        if values:
            shown = [*(mean_of(metric, part) for part in parts), min(values), max(values)]
            text = percent if metric.unit.startswith("share") else decimal
            rows.append([Cell(metric.name), Cell(metric.unit, tone="quiet"), *(Cell(text(v), v) for v in shown)])
    return Table(
        f"{stage.name} in numbers: means over the first and last tenth of the steps, and the range",
        columns,
        rows,
        folded=True,
    )
