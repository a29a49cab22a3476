"""C3PO: the curves of every RL stage, and where each began and ended."""

from ringlite_cli.report.blocks import Cell, Column, Heading, Section, Table
from ringlite_cli.report.figures import Figure, Series, lines, stack
from ringlite_cli.report.figures.thin import smoothing_window
from ringlite_cli.report.files import Row, mapping, num, number
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections import guard
from ringlite_cli.report.sections.common import curve, points, standing
from ringlite_cli.report.words import count, decimal, duration, percent, short

_SHOWN = [
    ("reward", "reward", "mean of 0 and 1"),
    ("entropy", "entropy", "nats per token"),
    ("grad_norm", "gradient norm", "L2"),
    ("kl", "KL to the reference", "nats per token"),
    ("clip_fraction", "clip fraction", "share of tokens"),
    ("response_tokens_mean", "response length, mean", "tokens"),
    ("response_tokens_max", "response length, longest", "tokens"),
    ("truncated_fraction", "truncated responses", "share"),
    ("informative_fraction", "groups with both right and wrong", "share"),
    ("tokens_trained", "tokens trained", "per step"),
    ("tokens_dropped", "tokens dropped", "per step"),
    ("row_fill", "row fill", "share of the packed rows"),
    ("step_seconds", "step time", "s"),
]


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
        page.figures(*_learning(stage, pens), *_budget(stage, pens), *_health(stage, pens))
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
    rows, sheet, style = stage.metrics, pens.sheet, pens.palette.policy(stage.name)[0]
    return [
        lines(sheet, "Reward", "step", "mean over responses", [curve(rows, "reward", "reward", style)], zero=True),
        lines(sheet, "Reward by domain", "step", "mean over responses", _by_domain(rows, pens), zero=True),
        lines(sheet, "Entropy", "step", "nats per token", [curve(rows, "entropy", "entropy", style)]),
    ]


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
    rows, sheet, style = stage.metrics, pens.sheet, pens.palette.policy(stage.name)[0]
    tokens = [
        curve(rows, "tokens_trained", "trained", style, "plain"),
        curve(rows, "budget", "budget Φ", "c-budget", "dash"),
        curve(rows, "tokens_dropped", "dropped", "c-dropped", "mean"),
    ]
    lengths = [
        curve(rows, "response_tokens_mean", "mean", style),
        curve(rows, "response_tokens_max", "longest", "p-quiet", "mean"),
    ]
    return [
        lines(sheet, "Tokens trained and dropped", "step", "tokens per step", tokens, zero=True),
        lines(sheet, "Response length", "step", "tokens", lengths, zero=True),
        stack(sheet, "Step time", "step", "s per step", _times(rows)),
    ]


def _times(rows: list[Row]) -> list[Series]:
    """Rollout, reward, update, and what is left of the step; rows that lack one of them are left out."""
    names = ("rollout", "reward", "update")
    whole = [r for r in rows if num(r, "step") is not None and all(num(r, f"{n}_seconds") is not None for n in names)]
    parts = [Series(n, f"c-{n}", points(whole, f"{n}_seconds")) for n in names]
    rest = []
    for k, row in enumerate(whole):
        total = num(row, "step_seconds")
        used = sum(part.points[k][1] for part in parts)
        rest.append((num(row, "step") or 0.0, max((total or used) - used, 0.0)))
    return [*parts, Series("other", "c-other", rest)]


def _health(stage: Stage, pens: Pens) -> list[Figure | None]:
    rows, sheet, style = stage.metrics, pens.sheet, pens.palette.policy(stage.name)[0]
    groups = [
        curve(rows, "informative_fraction", "groups with right and wrong", style),
        curve(rows, "truncated_fraction", "responses truncated", "c-dropped", "mean"),
    ]
    return [
        lines(
            sheet, "Gradient norm", "step", "L2 norm", [curve(rows, "grad_norm", "norm", style)], zero=True, log=True
        ),
        lines(sheet, "KL to the reference", "step", "nats per token", [curve(rows, "kl", "KL", style)], zero=True),
        lines(
            sheet,
            "Clipped ratios",
            "step",
            "share of tokens",
            [curve(rows, "clip_fraction", "clipped", style)],
            zero=True,
        ),
        lines(sheet, "Signal", "step", "share", groups, zero=True),
    ]


def _table(stage: Stage) -> Table:
    columns = [
        Column("metric", False),
        Column("unit", False),
        *map(Column, ("first tenth", "last tenth", "lowest", "highest")),
    ]
    rows = []
    for key, name, unit in _SHOWN:
        values = [v for row in stage.metrics if (v := num(row, key)) is not None]
        if values:
            shown = [*ends(stage.metrics, key), min(values), max(values)]
            text = percent if unit.startswith("share") else decimal
            rows.append([Cell(name), Cell(unit, tone="quiet"), *(Cell(text(v), v) for v in shown)])
    return Table(
        f"{stage.name} in numbers: means over the first and last tenth of the steps, and the range", columns, rows
    )
