"""The guard: which rule was broken when, what was done, and what the steps looked like that were taken back."""

from ringlite_cli.report.blocks import Block, Cell, Column, Figures, Table, Text
from ringlite_cli.report.figures import Figure, lines
from ringlite_cli.report.files import JsonRow, load_rows, num, text
from ringlite_cli.report.load import Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections.common import curve
from ringlite_cli.report.words import count, decimal


def blocks(stage: Stage, pens: Pens) -> list[Block]:
    """Return what the guard saw and did in an RL stage; nothing where it had nothing to say."""
    events = load_rows(stage.folder / "guard.jsonl").rows
    if not events:
        return []
    figure = _reward(stage, pens)
    return [
        Text(f"Guard: {sentence(events)}", "warn"),
        _table(stage, events),
        *([Figures([figure])] if figure else []),
    ]


def sentence(events: list[JsonRow]) -> str:
    """Return how often which action was taken."""
    backs = [event for event in events if num(event, "to") is not None]
    paused = [event for event in events if text(event, "action") == "pause"]
    words = f"{count(len(events))} alarms"
    if backs:
        words += f", {count(len(backs))} rollbacks"
    if paused:
        words += f", {count(len(paused))} pauses"
    if any(event.get("failed") for event in events):
        words += "; the run failed when its rollbacks were used up"
    return words + "."


def _table(stage: Stage, events: list[JsonRow]) -> Table:
    columns = [Column("step"), *(Column(label, False) for label in ("rule", "what was seen", "action"))]
    columns += [Column("back to step"), Column("rollouts left out"), Column("learning rate ×")]
    rows = [
        [
            _number(event, "step"),
            Cell(text(event, "rule")),
            Cell(text(event, "words")),
            Cell("failed" if event.get("failed") else text(event, "action"), tone="bad" if num(event, "to") else ""),
            _number(event, "to"),
            _number(event, "skipped"),
            _number(event, "lr_scale"),
        ]
        for event in events
    ]
    return Table(f"{stage.name}: broken rules, in the order in which they were seen", columns, rows)


def _number(event: JsonRow, key: str) -> Cell:
    value = num(event, key)
    if value is None:
        return Cell("–", tone="quiet")
    return Cell(f"{value:g}" if value == int(value) else decimal(value), value)


def _reward(stage: Stage, pens: Pens) -> Figure | None:
    """The reward that stayed, and that of each attempt which was taken back."""
    back = load_rows(stage.folder / "rolled_back.jsonl").rows
    if not back:
        return None
    attempts: dict[float, list[JsonRow]] = {}
    for row in back:
        attempts.setdefault(num(row, "attempt") or 0.0, []).append(row)
    taken = [
        curve(attempts[number], "reward", f"taken back {number + 1:g}", "c-dropped") for number in sorted(attempts)
    ]
    kept = curve(stage.metrics, "reward", "kept", pens.palette.policy(stage.name)[0])
    return lines(pens.sheet, "Reward, kept and taken back", "step", "mean over responses", [kept, *taken], zero=True)
