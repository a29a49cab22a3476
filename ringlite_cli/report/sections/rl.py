"""C3PO: the curves of every RL stage, and where each began and ended."""

from ringlite_cli.report.blocks import Cell, Column, Heading, Section, Table
from ringlite_cli.report.figures import Figure, Series, lines, stack
from ringlite_cli.report.figures.thin import smoothing_window
from ringlite_cli.report.files import Row, mapping, num, number
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections import guard
from ringlite_cli.report.sections.common import panel, points, standing
from ringlite_cli.report.words import count, decimal, duration, percent, short
from ringlite_cli.runs.catalogue import of_stage
from ringlite_cli.runs.catalogue.own import own_panels, read_own
from ringlite_cli.runs.catalogue.panels import PHASES, RL_BUDGET, RL_HEALTH, RL_LEARNING


def section(run: Run, pens: Pens) -> Section:
    page = Section("rl", "Reinforcement learning with C3PO")
    stages = run.of("rl")
    if not stages:
        page.say("No RL stage in this run.", "missing")
    for stage in stages:
        page.blocks.append(Heading(stage.name))
        page.blocks += standing(stage)
        if not stage.metrics:
            page.say(f"{stage.name}/metrics.jsonl is missing or has no rows yet.", "missing")
            continue
        page.say(sentence(stage), "lead")
        if (window := smoothing_window(len(stage.metrics))) > 1:
            page.say(f"Thin: every step. Thick: moving mean over {window} steps (median on a log scale).", "note")
        page.figures(*_learning(stage, pens), *_budget(stage, pens), *_health(stage, pens), *_own(stage, pens))
        page.blocks.append(_table(stage))
        page.blocks += guard.blocks(stage, pens)
    return page


def sentence(stage: Stage) -> str:
    """Steps, tokens, and the reward at both ends, each as the mean over a tenth of the steps."""
    begin, end = ends(stage.metrics, "reward")
    words = f"{count(len(stage.metrics))} steps"
    if stage.seconds:
        words += f" in {duration(stage.seconds)}"
    if trained := stage.total("tokens_trained"):
        words += f", {short(trained)} tokens trained"
    if begin is not None and end is not None:
        words += f"; mean reward {decimal(begin)} over the first tenth of the steps, {decimal(end)} over the last"
    return words + "."


def ends(rows: list[Row], key: str) -> tuple[float | None, float | None]:
    """Means over the first and the last tenth of the rows that have the metric (at least one row each)."""
    values = [v for row in rows if (v := num(row, key)) is not None]
    if not values:
        return None, None
    part = max(1, len(values) // 10)
    return sum(values[:part]) / part, sum(values[-part:]) / part


def _learning(stage: Stage, pens: Pens) -> list[Figure | None]:
    reward, *others = RL_LEARNING
    by_domain = lines(
        pens.sheet, "Reward by domain", "step", "mean over responses", _by_domain(stage.metrics, pens), zero=True
    )
    return [panel(stage, reward, pens), by_domain, *(panel(stage, each, pens) for each in others)]


def _by_domain(rows: list[Row], pens: Pens) -> list[Series]:
    """A curve per domain; none for a single domain, whose reward is the reward."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        step = num(row, "step")
        for domain, value in mapping(row, "reward_by_domain").items():
            reward = number(value)
            if step is not None and reward is not None:
                found.setdefault(domain, []).append((step, reward))
    return (
        [Series(name, pens.palette.domain(name), found[name], "mean") for name in sorted(found)]
        if len(found) > 1
        else []
    )


def _budget(stage: Stage, pens: Pens) -> list[Figure | None]:
    panels = [panel(stage, each, pens) for each in RL_BUDGET]
    return [*panels, stack(pens.sheet, "Step time", "step", "s per step", _times(stage.metrics))]


def _times(rows: list[Row]) -> list[Series]:
    """Rollout, reward, update, and what is left of the step; rows that lack one of them are left out."""
    whole = [r for r in rows if num(r, "step") is not None and all(num(r, f"{n}_seconds") is not None for n in PHASES)]
    parts = [Series(n, f"c-{n}", points(whole, f"{n}_seconds")) for n in PHASES]
    rest = []
    for k, row in enumerate(whole):
        total = num(row, "step_seconds")
        used = sum(part.points[k][1] for part in parts)
        rest.append((num(row, "step") or 0.0, max((total or used) - used, 0.0)))
    return [*parts, Series("other", "c-other", rest)]


def _health(stage: Stage, pens: Pens) -> list[Figure | None]:
    return [panel(stage, each, pens) for each in RL_HEALTH]


def _own(stage: Stage, pens: Pens) -> list[Figure | None]:
    return [panel(stage, each, pens) for each in own_panels(read_own(stage.folder))]


def _table(stage: Stage) -> Table:
    columns = [
        Column("metric", False),
        Column("unit", False),
        *map(Column, ("first tenth", "last tenth", "lowest", "highest")),
    ]
    rows = []
    for metric in (m for m in of_stage("rl", stage.folder) if m.table):
        values = [v for row in stage.metrics if (v := num(row, metric.key)) is not None]
        if values:
            shown = [*ends(stage.metrics, metric.key), min(values), max(values)]
            text = percent if metric.unit.startswith("share") else decimal
            rows.append([Cell(metric.name), Cell(metric.unit, tone="quiet"), *(Cell(text(v), v) for v in shown)])
    return Table(
        f"{stage.name} in numbers: means over the first and last tenth of the steps, and the range", columns, rows
    )
